"""Losses of adversarial training and distillation, one value a picture.

S is the student, T the teacher, x a picture, x~ what an attack makes of it, y its class, p^t the softmax of logits / t.
KL(a -> b) has a as the target distribution. Equation numbers are those of this module:

    (1)  CE(z, y) = -log p_y(z)
    (2)  KL_t(a -> b) = t^2 sum_k p^t_k(a) (log p^t_k(a) - log p^t_k(b))       sum over classes; `mean` divides by K
    (3)  BCE(z, y) = CE(z, y) - log(1.0001 - max_{k != y} p_k(z))                            MART, Wang et al. 2020
    (4)  A = p_y(T(x~))^b                                                    trust in the teacher, IAD, Zhu et al. 2022
    (5)  d(h, g): |h - g|^2 / d, |h/|h| - g/|g||^2, or 1 - h.g / (|h| |g|)   representations, flattened, of length d

TRADES, ARD, AKD, RSLAD, IAD and ARDIR are weighted sums of these: see `lit_unlearn.methods.robust`.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Distance = Literal["squared_l2", "normalised_l2", "cosine"]
Reduction = Literal["sum", "mean"]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Equation (1): (B, K) logits and (B,) classes to (B,)."""
    return F.cross_entropy(_wide(logits), y, reduction="none")


def kl_divergence(target: Tensor, logits: Tensor, tau: float = 1.0, reduction: Reduction = "sum") -> Tensor:
    """Equation (2), with gradients to both sides.

    Args:
        target, logits: (B, K) logits of a and of b.
        tau: temperature; its square keeps the size of the gradient.
        reduction: over classes. `mean` is the elementwise mean of RSLAD's code: K times smaller.

    Returns:
        (B,).
    """
    log_target, log_p = (F.log_softmax(_wide(z) / tau, dim=1) for z in (target, logits))
    terms = log_target.exp() * (log_target - log_p)
    return tau**2 * (terms.sum(1) if reduction == "sum" else terms.mean(1))


def boosted_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Equation (3): (B, K) logits and (B,) classes to (B,); also pushes the most probable wrong class down."""
    probabilities = F.softmax(_wide(logits), dim=1)
    wrong = probabilities.scatter(1, y[:, None], 0.0).amax(1)
    return cross_entropy(logits, y) - torch.log(1.0001 - wrong)


def class_probability(logits: Tensor, y: Tensor) -> Tensor:
    """p_y of equation (4): (B, K) logits and (B,) classes to (B,)."""
    return F.softmax(_wide(logits), dim=1).gather(1, y[:, None]).squeeze(1)


def trust(teacher_logits: Tensor, y: Tensor, beta: float) -> Tensor:
    """Equation (4), without gradient.

    Args:
        teacher_logits: (B, K) of the teacher on the attacked pictures.
        y: (B,).
        beta: b; 0 trusts fully.

    Returns:
        (B,) in [0, 1].
    """
    return class_probability(teacher_logits.detach(), y) ** beta


def representation_distance(h: Tensor, target: Tensor, distance: Distance) -> Tensor:
    """Equation (5).

    Args:
        h, target: (B, ...) of the same shape.
        distance: `squared_l2` (a mean over the representation), `normalised_l2` (twice `cosine`) or `cosine`.

    Returns:
        (B,).
    """
    h, target = _wide(h).flatten(1), _wide(target).flatten(1)
    match distance:
        case "squared_l2":
            return (h - target).square().mean(1)
        case "normalised_l2":
            return (F.normalize(h, dim=1) - F.normalize(target, dim=1)).square().sum(1)
        case "cosine":
            return 1 - F.cosine_similarity(h, target, dim=1)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
