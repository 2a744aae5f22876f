"""What a diffusion model draws for the judge: the same noise for every model of the same seed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lit_unlearn.reproducibility import derived_seed

if TYPE_CHECKING:
    from datamodules.diffusion.base import DiffusionDataModule


def starts(data: "DiffusionDataModule", count: int, purpose: str, shape: Sequence[int] | None = None) -> Tensor:
    """(count, C, H, W) standard normal noise, a function of the data's seed, the purpose and the place.

    Args:
        shape: (C, H, W) of what a method works on; None: of the pictures.
    """
    generator = torch.Generator().manual_seed(derived_seed("noise", purpose, data.seed))
    return torch.randn(count, *(shape or data.input_shape), generator=generator)


def asked(classes: list[int], count: int) -> Tensor:
    """(count,) int64 classes in turn."""
    return torch.tensor(classes).repeat(-(-count // len(classes)))[:count]


def drawn(
    method: Any, start: Tensor, classes: Tensor | None, network: nn.Module | None = None, at_once: int = 500
) -> Tensor:
    """(N, C, H, W) float32 pictures on the CPU: what the method draws from (N, ...) noise, some at a time."""
    parts, weight = [], next(method.network.parameters())
    for rows in torch.arange(len(start)).split(at_once):
        told = None if classes is None else classes[rows].to(weight.device)
        parts.append(method.sample(start[rows].to(weight), told, network).float().cpu())
    return torch.cat(parts)


def normal_classes(method: Any, data: "DiffusionDataModule", count: int) -> Tensor | None:
    """What a class-conditional model is asked for: the normal classes in turn; None for an unconditional model."""
    return asked(data.normal_classes, count) if method.is_conditional else None
