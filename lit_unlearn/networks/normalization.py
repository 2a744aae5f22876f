"""Batch normalisation whose statistics are those of the whole batch, however many processes share it."""

import torch
from torch import Tensor, nn

from lit_unlearn.losses.reduction import all_reduce_sum, world_size


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all dimensions but the second, for (N, C) and (N, C, ...) inputs.

    On one process this is `torch.nn.BatchNorm*d`. On several, mean and variance are reduced over all of them, with
    gradients, so that training gives the same numbers (torch's SyncBatchNorm does this on GPUs only).
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"BatchNorm expects (N, C, ...), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        dims = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = x.numel() / x.shape[1]
        sums = torch.cat([x.sum(dims), x.square().sum(dims), x.new_tensor([count])])
        sums = all_reduce_sum(sums)
        total = sums[-1]
        mean, mean_square = (sums[:-1] / total).chunk(2)
        variance = mean_square - mean.square()
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                momentum = 0.1 if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.detach(), momentum)
                self.running_var.lerp_(variance.detach() * total / (total - 1), momentum)
                self.num_batches_tracked.add_(1)
        y = (x - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        return y if self.weight is None else y * self.weight.view(shape) + self.bias.view(shape)


def batch_norm(num_features: int) -> BatchNorm:
    """Batch normalisation as Deep SVDD wants it: no learnt scale or shift (Ruff et al. 2018, their code), eps 1e-4."""
    return BatchNorm(num_features, eps=1e-4, affine=False)
