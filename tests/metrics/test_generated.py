"""Distances between generated and real items, by hand."""

import pytest
import torch

from lit_unlearn.metrics.generated import frechet_distance, kernel_distance, nearest, precision_recall


def test_frechet_by_hand():
    """Two points on a line: mean 0 or 3, variance 2 or 8: 9 + 2 + 8 - 2 sqrt(16)."""
    real, generated = torch.tensor([[-1.0], [1.0]]), torch.tensor([[1.0], [5.0]])
    assert frechet_distance(real, generated) == pytest.approx(9 + 2 + 8 - 2 * 4)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_by_hand():
    """The cubic kernel (x y + 1)^3 of points 0, 1 and 2, 3: unbiased means within the sets, and between them."""
    real, generated = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    within, between = 1 + 7**3, (1 + 1 + 3**3 + 4**3) / 4
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert kernel_distance(real, generated) == pytest.approx(within - 2 * between)
    assert torch.equal(torch.rand(1), expected)


def test_precision_and_recall_by_hand():
    """Balls of radius 1 around 0, 1, 2 (k = 1): 2.5 is inside, 9 and 10 are not; of 2.5, 9, 10 the balls reach 6.5, 1,
    1 far: 0, 1 and 2 are all inside the first one."""
    real, generated = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[2.5], [9.0], [10.0]])
    found = precision_recall(real, generated, k=1)
    assert found.precision == pytest.approx(1 / 3) and found.recall == 1.0
    assert precision_recall(real, real, k=1) == (1.0, 1.0)
    assert precision_recall(real, real + 100, k=1) == (0.0, 0.0)


def test_dropped_modes_cost_recall_and_not_precision():
    left, right = torch.randn(50, 2), torch.randn(50, 2) + 100
    found = precision_recall(torch.cat([left, right]), left.clone())
    assert found.precision == 1.0 and found.recall < 0.6


def test_nearest():
    distance, number = nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[4.0], [1.0]]))
    assert distance.tolist() == [1.0, 1.0] and number.tolist() == [1, 0]
