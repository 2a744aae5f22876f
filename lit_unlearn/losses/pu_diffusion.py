"""Positive-unlabeled losses of diffusion models, as pure functions.

Takahashi et al., "Positive-Unlabeled Diffusion Models for Preventing Sensitive Data Generation", ICLR 2025. U is a
mixture of a share beta of sensitive data and of normal data, S is sensitive. Equation numbers are those of this module;
l(x) is a denoising loss, exp(-l) plays the part of the probability of "normal":

    (1)  l(x, 0) = l(x),   l(x, 1) = -log(1 - exp(-l(x)))
    (2)  L = beta mean_S l(x, 1) + corr( mean_U l(x, 0) - beta mean_S l(x, 0) )        `losses.pu`, (3) to (6)
    (3)  the gradient of a sample of S in (2) is -beta / (1 - exp(-l)) grad l
    (4)  held back, for one timestep t of a sample of S: h(x) = min(l(x), c L_U(t)) where low <= t < high; at other
         timesteps the sample has no part in either of its terms. L_U(t) is the running mean of U's loss around t.
    (5)  L = beta mean_S h(x, 1) + corr( mean_U l(x, 0) - w beta mean_S h(x, 0) )

By (3) the scale of l decides what (2) is: with a mean over pixels (l about 0.05) a sample of S weighs 20 times as
much as one of U, with a sum (l in the hundreds) exactly as much. (4) and (5) are ours: the cap c takes the pull from
samples that are already far off, the range leaves out the timesteps whose loss says little about the class.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.losses.pu import positive_bce


class Held(NamedTuple):
    """What of the samples of S goes into equation (5).

    Attributes:
        loss: (B,) mean of h over a sample's timesteps that lie in the range; 0 where none does.
        share: (B,) share of its timesteps that do.
    """

    loss: Tensor
    share: Tensor

    @property
    def negative(self) -> Tensor:
        """(B,) h(x, 0)."""
        return self.share * self.loss

    def positive(self, least: float) -> Tensor:
        """(B,) h(x, 1); `least` as in `losses.pu.positive_bce`."""
        present = self.share > 0
        losses = torch.where(present, self.loss, torch.ones_like(self.loss))  # the slope of log at 0 is not finite
        return torch.where(present, self.share * positive_bce(losses, least), torch.zeros_like(losses))


def held_back(losses: Tensor, timesteps: Tensor, reference: Tensor, cap: float | None, low: int, high: int) -> Held:
    """Equation (4).

    Args:
        losses: (K, B) losses of B samples at K timesteps each.
        timesteps: (K, B) int64.
        reference: (K, B) L_U(t).
        cap: c; None leaves the losses as they are.
        low, high: range of timesteps, high excluded.
    """
    inside = (timesteps >= low) & (timesteps < high)
    capped = losses if cap is None else torch.minimum(losses, cap * reference.to(losses))
    count = inside.sum(0)
    mean = torch.where(inside, capped, torch.zeros_like(capped)).sum(0) / count.clamp_min(1)
    return Held(mean, count.to(losses) / len(losses))


def sensitive_gradient_weight(loss: Tensor, beta: float, least: float = 1e-6) -> Tensor:
    """Equation (3): (B,) by how much a step on (2) raises the loss of a sample of S, beta / (1 - exp(-l))."""
    return beta / -torch.expm1(-loss.clamp_min(least))
