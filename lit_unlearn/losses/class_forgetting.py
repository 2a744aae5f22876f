"""Losses by which a class-conditional diffusion model forgets a class, as pure functions.

Equation numbers are those of this module; e_theta(x_t, c) is what the trained network predicts, e_0 the untouched one,
c the class to forget, - no class. All predictions (epsilon, sample, v) are linear in epsilon at a given x_t, so that
the formulas hold for each of them.

    (1)  ESD target: e_0(x_t, -) - eta (e_0(x_t, c) - e_0(x_t, -))              Gandikota et al., ICCV 2023
    (2)  SalUn mask: 1 where |gradient of the forgetting loss at theta_0| is among the largest share of all weights
                                                                                Fan et al., ICLR 2024
    (3)  elastic penalty: sum_i F_i (theta_i - theta0_i)^2                      Heng and Soh, NeurIPS 2023
    (4)  projection: g_u - min(0, g_u . g_p) / |g_p|^2 g_p                      PCGrad, Yu et al., NeurIPS 2020
    (5)  score distillation: (p - q) . [(p - x) - alpha (p - q)] / w, w = mean |p - x| without gradient; p and q the
         clean pictures that a teacher and a fake score see behind a noised x   Zhou et al., ICML 2024 (SiD)
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def guided_away(with_class: Tensor, without: Tensor, eta: float) -> Tensor:
    """Equation (1): (B, C, H, W) what the network is to say when asked for the class."""
    return without - eta * (with_class - without)


def largest_gradients(gradients: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Equation (2): 0 or 1 for each weight, by name.

    Args:
        gradients: of the forgetting loss, by the weights' names.
        share: of all weights that may change.
    """
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients.values()])
    kept = max(1, round(share * len(sizes)))
    masks = torch.zeros_like(sizes)
    masks[sizes.topk(kept).indices] = 1
    parts = masks.split([gradient.numel() for gradient in gradients.values()])
    return {name: part.view_as(gradient) for (name, gradient), part in zip(gradients.items(), parts, strict=True)}


def elastic_penalty(weights: Sequence[Tensor], anchors: Sequence[Tensor], importance: Sequence[Tensor]) -> Tensor:
    """Equation (3): () penalty on leaving the anchors, weight by weight."""
    terms = [
        (kept * (weight - anchor).square()).sum()
        for weight, anchor, kept in zip(weights, anchors, importance, strict=True)
    ]
    return torch.stack(terms).sum()


def without_conflict(unlearn: Tensor, prior: Tensor) -> Tensor:
    """Equation (4): the gradient of forgetting without its part that points against the gradient of keeping.

    Args:
        unlearn, prior: gradients of the same weights.
    """
    against = (unlearn * prior).sum().clamp_max(0)
    return unlearn - against / prior.square().sum().clamp_min(torch.finfo(prior.dtype).tiny) * prior


def score_distillation(teacher: Tensor, fake: Tensor, generated: Tensor, alpha: float) -> Tensor:
    """Equation (5), a mean over pixels: (B,) what a one-step generator is to lower.

    Args:
        teacher, fake: (B, C, H, W) p and q, with gradients in x.
        generated: (B, C, H, W) x, what the generator has drawn.
        alpha: 1 drops the term in |p - q|^2, above 1 it is taken off.
    """
    behind, apart = teacher - generated, teacher - fake
    scale = behind.detach().abs().flatten(1).mean(1).clamp_min(1e-5)
    return (apart * (behind - alpha * apart)).flatten(1).mean(1) / scale
