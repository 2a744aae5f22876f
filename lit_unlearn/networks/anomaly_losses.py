"""Networks that give a non-negative loss for each sample; the loss is also the anomaly score.

Any module with `forward(x) -> (B,) losses >= 0` can stand in their place: the risks in `losses.pu` only need that.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lit_unlearn.networks.encoders import NetworkName, decoder, encoder

Reduction = Literal["mean", "sum"]


def per_sample(errors: Tensor, reduction: Reduction) -> Tensor:
    """(B, ...) squared errors to (B,) losses: their mean or sum over all dimensions but the first."""
    flat = errors.flatten(1)
    return flat.mean(1) if reduction == "mean" else flat.sum(1)


class ReconstructionError(nn.Module):
    """l(x) = ||x - D(E(x))||^2, the mean or the sum over the input's dimensions.

    Args:
        input_shape: (C, H, W) or (F,).
        network, representation: see `encoders.encoder`.
        reduction: over the input's dimensions.
    """

    def __init__(
        self, input_shape: Sequence[int], network: NetworkName, representation: int, reduction: Reduction = "mean"
    ):
        super().__init__()
        self.reduction: Reduction = reduction
        self.encoder = encoder(network, input_shape, representation)
        self.decoder = decoder(network, input_shape, representation)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def forward(self, x: Tensor) -> Tensor:
        return per_sample((x - self.reconstruct(x)).square(), self.reduction)


class CentreDistance(nn.Module):
    """d(x) = ||f(x) - c||^2, the mean or the sum over the representation's dimensions (Deep SVDD).

    Args:
        input_shape, network, representation: as for `ReconstructionError`.
        reduction: over the representation's dimensions.

    The centre c is a buffer, set once by `set_centre` before training.
    """

    centre: Tensor

    def __init__(
        self, input_shape: Sequence[int], network: NetworkName, representation: int, reduction: Reduction = "sum"
    ):
        super().__init__()
        self.reduction: Reduction = reduction
        self.encoder = encoder(network, input_shape, representation)
        self.register_buffer("centre", torch.full((representation,), math.nan))

    @property
    def has_centre(self) -> bool:
        return not bool(self.centre.isnan().any())

    @torch.no_grad()
    def set_centre(self, x: Tensor, least: float = 0.1, batch_size: int = 1000) -> None:
        """Puts the centre at the mean representation of `x`, in eval mode, each coordinate pushed away from zero.

        A centre at the origin could be reached by zero weights (Ruff et al. 2018). The reference code leaves a
        coordinate that is exactly zero where it is; here it becomes +least [ours].

        Args:
            x: (N, *input_shape) unlabeled training items.
            least: smallest absolute value of a coordinate.
        """
        was_training = self.training
        self.eval()
        batches = x.to(self.centre.device, self.centre.dtype).split(batch_size)
        centre = torch.cat([self.encoder(batch) for batch in batches]).mean(0)
        self.train(was_training)
        sign = torch.where(centre < 0, -1, 1).to(centre)
        self.centre.copy_(torch.where(centre.abs() < least, sign * least, centre))

    def forward(self, x: Tensor) -> Tensor:
        return per_sample((self.encoder(x) - self.centre).square(), self.reduction)


class Logit(nn.Module):
    """g(x): the logit of "anomalous" of a binary classifier, a linear map of the representation.

    Args:
        input_shape, network, representation: as for `ReconstructionError`.
    """

    def __init__(self, input_shape: Sequence[int], network: NetworkName, representation: int):
        super().__init__()
        self.encoder = encoder(network, input_shape, representation)
        self.head = nn.Linear(representation, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x)).squeeze(1)
