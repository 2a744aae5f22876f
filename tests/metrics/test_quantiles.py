"""Quantiles of values with counts."""

import pytest
import torch

from lit_unlearn.metrics.quantiles import weighted_quantiles


def test_by_hand():
    # 1 1 2 5 5 5: at 0, 1/4, 1/2, 3/4, 1 the first value that 0, 1.5, 3, 4.5, 6 of the 6 do not exceed.
    values, counts = torch.tensor([5.0, 1.0, 2.0]), torch.tensor([3, 2, 1])
    assert weighted_quantiles(values, counts, 5).tolist() == [1, 1, 2, 5, 5]


def test_counts_are_repetitions():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, generator=generator, dtype=torch.float64)
    counts = torch.randint(1, 40, (50,), generator=generator)
    repeated = values.repeat_interleave(counts)
    ones = torch.ones(len(repeated), dtype=torch.int64)
    assert torch.equal(weighted_quantiles(values, counts, 1001), weighted_quantiles(repeated, ones, 1001))
    reference = repeated.quantile(torch.linspace(0, 1, 1001, dtype=torch.float64), interpolation="lower")
    # torch's quantile divides the way between the first and the last value, ours the number of values.
    ranks = repeated.sort().values
    place = torch.searchsorted(ranks, weighted_quantiles(values, counts, 1001), right=True)
    assert (place >= torch.searchsorted(ranks, reference)).all()


@pytest.mark.parametrize("total", [1000, 2000, 7000])
def test_a_share_that_is_a_whole_number_of_values_takes_the_last_of_them(total: int):
    """Of 1000 values .999 do not exceed the 999th; rounding must not lead to the 1000th."""
    values = torch.arange(1.0, total + 1)
    quantiles = weighted_quantiles(values, torch.ones(total, dtype=torch.int64), 1001)
    assert quantiles.tolist() == [1, *(total // 1000 * k for k in range(1, 1001))]


def test_type_order_and_ends():
    values = torch.tensor([3.0, -1.0, 2.0])
    quantiles = weighted_quantiles(values, torch.tensor([1, 1, 1]), 11)
    assert quantiles.dtype == torch.float32
    assert quantiles[0] == -1 and quantiles[-1] == 3 and (quantiles.diff() >= 0).all()


def test_one_value():
    assert weighted_quantiles(torch.tensor([2.5]), torch.tensor([7]), 3).tolist() == [2.5] * 3


def test_counts_beyond_the_precision_of_float32():
    """Ten million lines, of which one is odd."""
    values, counts = torch.tensor([0.0, 1.0]), torch.tensor([2**25, 1])
    assert weighted_quantiles(values, counts, 1001)[[999, 1000]].tolist() == [0, 1]
