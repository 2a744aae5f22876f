"""FGSM and PGD, on which adversarial training runs.

FGSM: Goodfellow et al., arXiv 1412.6572. PGD: Madry et al., arXiv 1706.06083: ascent on a loss by steps of fixed
length, after each of them projected to the ball around the picture and clipped to [0, 1].

Neither leaves a gradient on the network's weights; both put the training or eval mode of every module back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_unlearn.attacks.ball import Ball, Start, check_unit_range

Loss = Callable[[Tensor], Tensor]
"""From (B, K) logits of the attacked pictures to the (B,) values that the attack raises."""

Mode = Literal["eval", "train"]
"""Of the network while it is attacked. `train` uses batch statistics and dropout, and leaves running statistics as they
were; a network without either is the same in both."""


def pgd(
    model: nn.Module,
    x: Tensor,
    loss: Loss,
    ball: Ball,
    step: float,
    steps: int,
    start: Start = "uniform",
    mode: Mode = "eval",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Pictures in the ball around `x` at which the loss is high.

    The loss is computed in float32 or wider, also under autocast.

    Args:
        model: from (B, C, H, W) in [0, 1] to (B, K) logits.
        x: (B, C, H, W) pictures.
        loss: what is raised, see `Loss`.
        ball: what the attack may do.
        step: length of a step, in the ball's norm.
        steps: how many; 0 gives the start.
        start: see `Ball.start`.
        mode: see `Mode`.
        generator: of the random start; None is the global one.

    Returns:
        (B, C, H, W), detached.

    Raises:
        UserError: `x` does not lie in [0, 1].
    """
    check_unit_range(x)
    with attacked(model, mode):
        x = x.detach().clone()
        perturbed, project = ball.start(x, start, generator), ball.projection(x)
        for _ in range(steps):
            perturbed = project(ball.ascend(perturbed, _gradient(model, perturbed, loss)[0], step))
    return perturbed


def fgsm(model: nn.Module, x: Tensor, loss: Loss, ball: Ball, mode: Mode = "eval") -> Tensor:
    """One step from `x` to the edge of the ball; see `pgd`."""
    return pgd(model, x, loss, ball, ball.eps, 1, "none", mode)


class Attacked(NamedTuple):
    """What an attack for evaluation leaves.

    Attributes:
        standing: (B,) bool: still classified as `y`.
        x: (B, C, H, W): a misclassified picture in the ball where one was found, else the last one tried.
    """

    standing: Tensor
    x: Tensor


def pgd_on_standing(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    step: float,
    steps: int,
    start: Start = "uniform",
    generator: torch.Generator | None = None,
) -> Attacked:
    """PGD on the cross entropy that leaves a picture alone as soon as it is misclassified, in eval mode.

    The pictures that a fixed number of steps breaks at the end are broken here too, unless they had been broken on the
    way and recovered: the verdict is at least as strict, and the broken pictures cost no more steps.

    Args:
        y: (B,) classes.
        others: see `pgd`.

    Raises:
        UserError: `x` does not lie in [0, 1].
    """
    check_unit_range(x)
    with attacked(model, "eval"):
        x = x.detach().clone()
        result = ball.start(x, start, generator)
        standing = torch.ones(len(x), dtype=torch.bool, device=x.device)
        rows = torch.arange(len(x), device=x.device)
        centre, perturbed, labels, project = x, result, y, ball.projection(x)
        for taken in range(steps + 1):
            if taken == steps:
                with torch.no_grad():
                    logits = model(perturbed)
                gradient = perturbed  # of no use any more
            else:
                gradient, logits = _gradient(model, perturbed, partial(cross_entropy, y=labels))
            right = logits.argmax(1) == labels
            if not right.all():
                result[rows[~right]] = perturbed[~right]
                standing[rows[~right]] = False
                rows, centre, perturbed, labels = rows[right], centre[right], perturbed[right], labels[right]
                if len(rows) == 0:
                    break
                gradient, project = gradient[right], ball.projection(centre)
            if taken < steps:
                perturbed = project(ball.ascend(perturbed, gradient, step))
        result[rows] = perturbed
    return Attacked(standing, result)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """(B,) cross entropies, the loss of most attacks."""
    return F.cross_entropy(logits, y, reduction="none")


def _gradient(model: nn.Module, x: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Gradient of the summed loss at each picture, of those alone, and the (B, K) logits there."""
    x = x.detach().requires_grad_()
    logits = model(x)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return torch.autograd.grad(loss(wide).sum(), x)[0], logits.detach()


@contextmanager
def attacked(model: nn.Module, mode: Mode) -> Iterator[None]:
    """The network in the mode of an attack, gradients on (also inside Lightning's validation); puts all back."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if mode == "train" else []
    model.train(mode == "train")
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
