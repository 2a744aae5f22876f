"""Means over the whole batch, however many processes share it.

A loss that is not linear in a batch mean (an absolute value, a logarithm) is wrong when each process takes it of its
own part. These reductions pass gradients through, and leave DDP's and FSDP's averaging of gradients correct: the
backward pass of the sum adds up over processes what the averaging divides by.
"""

import torch
import torch.distributed.nn.functional as distributed
from torch import Tensor


def world_size() -> int:
    """Processes that share a batch; 1 outside a distributed run."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sum of `x` over all processes, with gradients; `x` itself on a single one."""
    return x if world_size() == 1 else distributed.all_reduce(x)


def batch_mean(losses: Tensor) -> Tensor:
    """Mean of the per-sample losses over the whole batch.

    Args:
        losses: (B,) losses of this process's samples; B may differ between processes.

    Returns:
        () mean over the samples of all processes.
    """
    if world_size() == 1:
        return losses.mean()
    total, count = all_reduce_sum(torch.stack([losses.sum(), losses.new_tensor(float(len(losses)))]))
    return total / count


def gather(x: Tensor) -> tuple[Tensor, slice]:
    """The values of all processes, without gradients, for what must look at the whole batch at once.

    Args:
        x: (B,) values of this process's samples; B may differ between processes.

    Returns:
        (N,) values of the whole batch, and where among them those of this process are.
    """
    x = x.detach()
    if world_size() == 1:
        return x, slice(0, len(x))
    counts = x.new_zeros(world_size(), dtype=torch.long)
    counts[torch.distributed.get_rank()] = len(x)
    torch.distributed.all_reduce(counts)
    end = counts.cumsum(0)[torch.distributed.get_rank()]
    own = slice(int(end) - len(x), int(end))
    values = x.new_zeros(int(counts.sum()))
    values[own] = x
    torch.distributed.all_reduce(values)  # the sum puts the parts together: elsewhere each process has zeros
    return values, own
