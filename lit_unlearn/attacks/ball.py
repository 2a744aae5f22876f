"""What an attack may do to a picture: the ball around it, intersected with [0, 1]."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lit_unlearn.errors import UserError

Norm = Literal["linf", "l2"]
Start = Literal["uniform", "gaussian", "none"]


@dataclass(frozen=True)
class Ball:
    """The pictures within `eps` of a picture.

    Attributes:
        norm: `linf`, the largest change of a pixel, or `l2`, the Euclidean length of the change.
        eps: radius, in units of [0, 1].

    Raises:
        UserError: `eps` is negative or not finite.
    """

    norm: Norm
    eps: float

    def __post_init__(self) -> None:
        if not 0 <= self.eps < math.inf:
            raise UserError(
                f"eps={self.eps}: the radius of an attack, must be at least 0; give 0.1 for a tenth of white"
            )

    def start(self, x: Tensor, kind: Start = "uniform", generator: torch.Generator | None = None) -> Tensor:
        """Where an attack begins: (B, ...) in the ball and in [0, 1].

        Args:
            x: (B, ...) pictures.
            kind: `uniform` in the ball; `gaussian`, a thousandth of standard normal noise (TRADES, RSLAD); `none`, x.
            generator: of the noise; None is the global one.
        """
        match kind:
            case "none":
                return x.clone()
            case "gaussian":
                noise = 1e-3 * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
                return self.projection(x)(x + noise)
        if self.norm == "linf":
            noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) * 2 - 1
            return (x + self.eps * noise).clamp_(0, 1)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        radius = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype) ** (1 / x[0].numel())
        return (x + self.eps * _per_picture(radius, x) * _direction(noise)).clamp_(0, 1)

    def ascend(self, x: Tensor, gradient: Tensor, step: float) -> Tensor:
        """Steepest ascent by `step` in the ball's norm, into new memory."""
        return x.add(gradient.sign() if self.norm == "linf" else _direction(gradient), alpha=step)

    def projection(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """A function to the nearest point of the ball around `x`, then clipped to [0, 1] (which does not leave it)."""
        if self.norm == "linf":
            low, high = (x - self.eps).clamp_(0, 1), (x + self.eps).clamp_(0, 1)
            return lambda perturbed: perturbed.clamp(low, high)

        def project(perturbed: Tensor) -> Tensor:
            change = perturbed - x
            length = change.flatten(1).norm(dim=1)
            return (x + change * _per_picture((self.eps / length.clamp_min(1e-12)).clamp_max(1), x)).clamp_(0, 1)

        return project

    def distance(self, perturbed: Tensor, x: Tensor) -> Tensor:
        """(B,) lengths of the changes in the ball's norm."""
        change = (perturbed - x).flatten(1)
        return change.abs().amax(1) if self.norm == "linf" else change.norm(dim=1)


def check_unit_range(x: Tensor) -> None:
    """Raises a UserError unless all values lie in [0, 1]; normalisation belongs into the network.

    Raises:
        UserError: a value lies outside, or is NaN.
    """
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):
        raise UserError(
            f"pictures with values from {low:.4g} to {high:.4g}: attacks and networks take [0, 1]; leave normalisation "
            "to the network's first layer, and divide bytes by 255"
        )


def _direction(x: Tensor) -> Tensor:
    return x / _per_picture(x.flatten(1).norm(dim=1).clamp_min(1e-12), x)


def _per_picture(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *[1] * (x.dim() - 1))
