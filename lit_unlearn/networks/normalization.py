"""Batch normalisation whose statistics are those of the whole batch, however many processes share it."""

import torch
from torch import Tensor, nn

from lit_unlearn.losses.reduction import all_reduce_sum, world_size


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all dimensions but the second, for (N, C) and (N, C, ...) inputs.

    On one process this is `torch.nn.BatchNorm*d`. On several, mean and variance are reduced over all of them, with
    gradients, so that training gives the same numbers (torch's SyncBatchNorm does this on GPUs only).

    Args:
        num_features: channels.
        eps: added to the variance.
        affine: learn a scale and a shift of each channel; one-class networks must not.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False):
        super().__init__(num_features, eps=eps, affine=affine)

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"BatchNorm expects (N, C, ...), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        dims, shape = [0, *range(2, x.dim())], [1, -1] + [1] * (x.dim() - 2)
        wide = x if x.dtype == torch.float64 else x.float()
        total = all_reduce_sum(wide.new_tensor(x.numel() / x.shape[1]))
        mean = all_reduce_sum(wide.sum(dims)) / total
        centred = wide - mean.view(shape)
        variance = all_reduce_sum(centred.square().sum(dims)) / total
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * total / (total - 1)).to(self.running_var), self.momentum)
            self.num_batches_tracked.add_(1)
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(x.dtype)


def batch_norm(num_features: int) -> BatchNorm:
    """Batch normalisation as Deep SVDD wants it: no learnt scale or shift (Ruff et al. 2018, their code), eps 1e-4."""
    return BatchNorm(num_features, eps=1e-4)
