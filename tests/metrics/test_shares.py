"""Shares and their intervals, against values worked out by hand."""

import math

import pytest
import torch

from lit_unlearn.metrics.shares import share_and_interval


def test_wilsons_interval_by_hand():
    """p = 1/4 of n = 8, z = 1.959964: centre (p + z^2 / 2n) / (1 + z^2 / n), half z sqrt(p (1 - p) / n + z^2 / 4n^2)
    over the same."""
    value, (low, high) = share_and_interval(torch.tensor([True, True] + [False] * 6))
    z2 = 1.959963984540054**2
    centre, half = (0.25 + z2 / 16) / (1 + z2 / 8), math.sqrt(z2 * (0.1875 / 8 + z2 / 256)) / (1 + z2 / 8)
    assert value == 0.25
    assert (low, high) == pytest.approx((centre - half, centre + half), rel=1e-9)


def test_arrays_and_tensors_and_the_ends():
    hits = torch.ones(5, dtype=torch.bool)
    assert share_and_interval(hits) == share_and_interval(hits.numpy())
    assert share_and_interval(hits)[0] == 1 and share_and_interval(~hits)[1][0] == 0
