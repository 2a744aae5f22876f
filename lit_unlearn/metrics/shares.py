"""Shares of items that pass, such as accuracies and rates."""

import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor


def share_and_interval(hits: Tensor | NDArray) -> tuple[float, tuple[float, float]]:
    """The share of True among (N,) bool, and Wilson's 95 % interval for it, as if the items were independent."""
    passed, num = int(torch.as_tensor(hits).sum()), len(hits)
    interval = binomtest(passed, num).proportion_ci(method="wilson")
    return passed / num, (float(interval.low), float(interval.high))
