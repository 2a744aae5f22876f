"""FILA: low-rank additions that start where what is to be forgotten sits, and what is to stay does not.

Cha, Cho, Hwang and Lee, "Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs", ICLR 2025, arXiv
2408.06621 (LoKU). For a weight W (out, in) with low-rank addition s B A:

    (1)  F     = sum over batches of n g^2 / sum of n, g the gradient of the mean of their n answer tokens' losses
    (2)  w_i   = sqrt(sum_j F_forget[ij] / (F_retain[ij] + 1e-5)), at least 1e-3 of the largest
    (3)  U S V = svd(diag(w) W / max w), the r largest singular values
    (4)  B     = diag(max w / w) U sqrt(S),  A = sqrt(S) V
    (5)  W     = W - s B A

so that the output is the same at first, and training moves the rows that matter to the targets alone. Clamping and
scaling of w are ours: a row without a gradient would be divided by 0, and tiny gradients would put all of the product
into B. The weight of (5) belongs to the trained model: the additions mean nothing beside the original one.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lit_unlearn.errors import UserError
from lit_unlearn.losses.tokens import cross_entropy

LEAST = 1e-3
"""Of the largest row weight, what a row weight is at least."""


def initialise_lora(model: nn.Module, forget: Any, retain: Any, batch_size: int = 16) -> None:
    """Equations (1) to (5) for every layer of a model that has a low-rank addition, in place.

    Args:
        model: with additions of peft that are 0, on the device to compute on.
        forget, retain: pools of items.
        batch_size: items at a time.

    Raises:
        UserError: the model has no additions, or they have a higher rank than a weight.
    """
    from peft.tuners.lora import LoraLayer

    layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
    if not layers:
        raise UserError("method.fila=true: nothing is trained as low-rank additions; give method.trained=lora")
    weights = [layer.get_base_layer().weight for layer in layers]
    forget_importance, retain_importance = (squared_gradients(model, weights, x, batch_size) for x in (forget, retain))
    for layer, weight, f, r in zip(layers, weights, forget_importance, retain_importance, strict=True):
        name, turned = layer.active_adapters[0], layer.fan_in_fan_out  # GPT-2 keeps its weights (in, out)
        importance = (f / (r + 1e-5)).T if turned else f / (r + 1e-5)
        b, a = split(weight.detach().T if turned else weight.detach(), importance, layer.r[name])
        product = layer.scaling[name] * b @ a
        with torch.no_grad():
            layer.lora_B[name].weight.copy_(b)
            layer.lora_A[name].weight.copy_(a)
            weight.sub_(product.T if turned else product)


def squared_gradients(model: nn.Module, weights: list[Tensor], items: Any, batch_size: int) -> list[Tensor]:
    """Equation (1) for each weight, over a pool of items."""
    frozen = [weight for weight in weights if not weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    totals, tokens = [torch.zeros_like(weight) for weight in weights], 0
    for rows in torch.arange(len(items)).split(batch_size):
        batch = items.batch(rows)
        ids, labels = batch.tokens.to(weights[0].device), batch.labels.to(weights[0].device)
        losses = cross_entropy(model(ids, use_cache=False).logits, labels)
        gradients = torch.autograd.grad(losses.mean(), weights)
        for total, gradient in zip(totals, gradients, strict=True):
            total.addcmul_(gradient, gradient, value=len(losses))
        tokens += len(losses)
    for weight in frozen:
        weight.requires_grad_(False)
    return [total / tokens for total in totals]


def split(weight: Tensor, importance: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Equations (2) to (4).

    Args:
        weight: (out, in).
        importance: (out, in) F_forget / (F_retain + 1e-5).
        rank: r.

    Returns:
        (out, r) B and (r, in) A.

    Raises:
        UserError: the weight has no such rank.
    """
    if rank > min(weight.shape):
        raise UserError(f"method.lora_rank={rank}: a weight of {tuple(weight.shape)} has no such rank; give fewer")
    row = importance.double().sum(1, keepdim=True).sqrt()
    row = (row / row.max()).clamp_min(LEAST) if row.max() > 0 else torch.ones_like(row)
    u, s, v = torch.linalg.svd(row * weight.double(), full_matrices=False)
    root = s[:rank].sqrt()
    return (u[:, :rank] * root / row).to(weight.dtype), (root[:, None] * v[:rank]).to(weight.dtype)
