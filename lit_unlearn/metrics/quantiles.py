"""Quantiles of values that occur several times each."""

import torch
from torch import Tensor


def weighted_quantiles(values: Tensor, counts: Tensor, num: int) -> Tensor:
    """The quantiles at 0, 1/(num-1), ..., 1 of values taken as often as they occur; no interpolation between values.

    The quantile at q is the smallest value that at least a share q of all occurrences do not exceed.

    Args:
        values: (N,) float.
        counts: (N,) int64, at least 1 each.
        num: quantiles to take, two or more.

    Returns:
        (num,) rising, of the values' type.
    """
    order = values.argsort()
    reached = counts[order].cumsum(0)
    asked = torch.linspace(0, 1, num, dtype=torch.float64, device=values.device) * reached[-1]
    places = torch.searchsorted(reached.double(), asked * (1 - 1e-12))  # a whole number of occurrences, rounding or not
    return values[order][places.clamp(max=len(values) - 1)]
