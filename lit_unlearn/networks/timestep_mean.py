"""A running mean of a loss by timestep, in bins, the same on all processes."""

import torch
from torch import Tensor, nn

from lit_unlearn.losses.reduction import all_reduce_sum


class TimestepMean(nn.Module):
    """Running means in equal bins of timesteps; part of the state, so that a resumed run has the same.

    Args:
        num_timesteps: T.
        bins: number of bins.
        momentum: weight of what was there; a bin's first value is taken as it is.
    """

    means: Tensor

    def __init__(self, num_timesteps: int, bins: int = 20, momentum: float = 0.98):
        super().__init__()
        self.num_timesteps, self.momentum = num_timesteps, momentum
        self.register_buffer("means", torch.full((bins,), torch.inf))

    @torch.no_grad()
    def update(self, losses: Tensor, timesteps: Tensor) -> None:
        """Takes in (N,) losses at (N,) timesteps."""
        bins = self.bin(timesteps)
        sums = torch.zeros_like(self.means).index_add_(0, bins, losses.detach().to(self.means))
        counts = torch.zeros_like(self.means).index_add_(0, bins, torch.ones_like(losses).to(self.means))
        sums, counts = all_reduce_sum(torch.stack([sums, counts]))
        new = sums / counts.clamp_min(1)
        moved = torch.where(self.means.isinf(), new, self.momentum * self.means + (1 - self.momentum) * new)
        self.means.copy_(torch.where(counts > 0, moved, self.means))

    def bin(self, timesteps: Tensor) -> Tensor:
        """(...) int64 bin of each timestep."""
        return timesteps * len(self.means) // self.num_timesteps

    def forward(self, timesteps: Tensor) -> Tensor:
        """(...) the mean around each timestep; infinite where nothing was seen yet."""
        return self.means[self.bin(timesteps)]
