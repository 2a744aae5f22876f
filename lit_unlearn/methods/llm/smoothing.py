"""Forget losses that are smoothed in the weights, so that what was forgotten is harder to learn again.

Fan et al., "Towards LLM Unlearning Resilient to Relearning Attacks", 2025, arXiv 2502.05374. With forget loss l:

    (1)  sam               l(theta + radius * g / |g|),  g = the gradient of l at theta, as a constant
    (2)  random            mean over 3 draws of l(theta + e),  e ~ N(0, radius^2)
    (3)  gradient_penalty  l(theta) + |gradient of l at theta|
    (4)  curvature         l(theta) + |gradient of (l(theta + e) - l(theta))|,  e = radius * g / |g| as in (1)

The weights themselves are never changed and restored: the loss is evaluated with others in their place, and its
gradient reaches them. The retain term is taken at theta.
"""

from typing import Any, Literal

import torch
from lightning import LightningModule
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from lit_unlearn.losses.reduction import all_reduce_sum, world_size

DRAWS = 3

Weights = dict[str, Tensor]


def smoothed(
    method: LightningModule,
    batch: Any,
    kind: Literal["none", "sam", "random", "gradient_penalty", "curvature"],
    radius: float,
) -> Tensor:
    """() the smoothed forget loss.

    Args:
        method: called with the batch it gives the forget loss.
        batch: of training.
        kind: the name of an equation, or none.
        radius: of equations (1), (2) and (4).
    """
    if kind == "none":
        return method(batch)
    weights: Weights = {name: weight for name, weight in method.named_parameters() if weight.requires_grad}

    def loss_at(shift: Weights) -> Tensor:
        return functional_call(method, {name: weights[name] + shift[name] for name in shift}, (batch,))

    if kind == "random":
        return torch.stack([loss_at(noise) for noise in _noise(weights, radius)]).mean()
    if kind == "sam":
        return loss_at(_ascent(method(batch), weights, radius))
    with sdpa_kernel(SDPBackend.MATH):  # the faster kernels have no second derivative
        loss = method(batch)
        if kind == "gradient_penalty":
            return loss + _norm(_gradient(loss, weights))
        shift = _ascent(loss, weights, radius)
        return loss + _norm(_gradient(loss_at(shift) - loss, weights))


def _noise(weights: Weights, radius: float) -> list[Weights]:
    """Draws of equation (2), the same in all processes as in one alone."""
    device = next(iter(weights.values())).device
    seed = torch.randint(2**62, (1,), device=device)  # of this step, and in the first process as in one alone
    if world_size() > 1:
        torch.distributed.broadcast(seed, 0)
    generator = torch.Generator(device).manual_seed(int(seed))

    def normal(weight: Tensor) -> Tensor:
        return torch.randn(weight.shape, generator=generator, device=device, dtype=weight.dtype)

    return [{name: radius * normal(weight) for name, weight in weights.items()} for _ in range(DRAWS)]


def _gradient(loss: Tensor, weights: Weights) -> Tensor:
    """(P,) gradient with respect to all weights in a row, which can be derived again; the same in all processes."""
    found = torch.autograd.grad(loss, list(weights.values()), create_graph=True, materialize_grads=True)
    return all_reduce_sum(torch.cat([gradient.flatten() for gradient in found])) / world_size()


def _ascent(loss: Tensor, weights: Weights, radius: float) -> Weights:
    """The step of length `radius` that makes the loss grow fastest, as constants; the same in all processes."""
    found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True, materialize_grads=True)
    gradient = all_reduce_sum(torch.cat([part.flatten() for part in found]))
    step = (radius * gradient / _norm(gradient)).split([weight.numel() for weight in weights.values()])
    return {name: part.view_as(weights[name]) for name, part in zip(weights, step, strict=True)}


def _norm(gradient: Tensor) -> Tensor:
    return (gradient.square().sum() + 1e-24).sqrt()  # the root has no derivative at 0
