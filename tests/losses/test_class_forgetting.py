"""Losses of class forgetting, by hand."""

import pytest
import torch

from lit_unlearn.losses.class_forgetting import (
    elastic_penalty,
    guided_away,
    largest_gradients,
    score_distillation,
    without_conflict,
)


def test_guided_away_by_hand():
    told, untold = torch.tensor([3.0]), torch.tensor([1.0])
    assert guided_away(told, untold, 1.0).item() == -1.0
    assert guided_away(told, untold, 0.0) is not told and guided_away(told, untold, 0.0).item() == 1.0
    assert guided_away(told, untold, -1.0).item() == 3.0  # the class itself


def test_the_mask_is_over_all_weights_together():
    masks = largest_gradients({"a": torch.tensor([[1.0, -5.0]]), "b": torch.tensor([0.5, 4.0])}, 0.5)
    assert masks["a"].tolist() == [[0.0, 1.0]] and masks["b"].tolist() == [0.0, 1.0]
    assert sum(mask.sum() for mask in largest_gradients({"a": torch.arange(10.0)}, 0.01).values()) == 1


def test_the_penalty_by_hand_and_its_zero():
    weights, anchors = [torch.tensor([1.0, 2.0]), torch.tensor([3.0])], [torch.tensor([0.0, 2.0]), torch.tensor([1.0])]
    importance = [torch.tensor([5.0, 100.0]), torch.tensor([2.0])]
    assert elastic_penalty(weights, anchors, importance).item() == 5 * 1 + 2 * 4
    assert elastic_penalty(weights, weights, importance).item() == 0


def test_surgery_takes_away_what_points_against():
    prior = torch.tensor([1.0, 0.0])
    assert without_conflict(torch.tensor([-2.0, 3.0]), prior).tolist() == [0.0, 3.0]
    assert without_conflict(torch.tensor([2.0, 3.0]), prior).tolist() == [2.0, 3.0]
    found = without_conflict(torch.randn(50), other := torch.randn(50))
    assert (found * other).sum() >= -1e-5
    assert without_conflict(torch.ones(2), torch.zeros(2)).tolist() == pytest.approx([1, 1])


def pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


@pytest.mark.parametrize(("alpha", "expected"), [(1.2, 1.0 / 2.5), (1.0, 1.5 / 2.5), (0.0, 4.0 / 2.5)])
def test_score_distillation_by_hand(alpha: float, expected: float):
    """p - x = (2, 3), p - q = (1, 2), w = 2.5; for 1.2: (1 x .8 + 2 x .6) / 2 = 1."""
    found = score_distillation(pixels(1, 4), pixels(0, 2), pixels(-1, 1), alpha)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


def test_score_distillation_s_identities():
    """At alpha 1/2 half the difference of squared distances; linear in alpha; at alpha 1 (p - q) . (q - x)."""
    p, q, x = torch.randn(3, 5, 1, 4, 4, dtype=torch.float64)
    w = (p - x).abs().mean((1, 2, 3))
    half, one, none = (score_distillation(p, q, x, alpha) for alpha in (0.5, 1.0, 0.0))
    squares = ((p - x).square() - (q - x).square()).mean((1, 2, 3))
    torch.testing.assert_close(half, squares / 2 / w)
    torch.testing.assert_close(one, ((p - q) * (q - x)).mean((1, 2, 3)) / w)
    torch.testing.assert_close(half, (one + none) / 2)
    torch.testing.assert_close(none - one, (p - q).square().mean((1, 2, 3)) / w)


def test_score_distillation_rests_where_the_fake_score_is_the_teacher_s():
    """Zero, and so is its gradient, also through what both see; no gradient through w."""
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(score_distillation(x.sin(), x.sin(), x, 1.2).sum(), x)
    assert found.abs().max() == 0
    p, q = torch.randn(2, 2, 1, 4, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad(score_distillation(p, q, x, 1.2).sum(), x)
    torch.testing.assert_close(found, (q - p) / 16 / (p - x).detach().abs().mean((1, 2, 3), keepdim=True))
    assert score_distillation(x, x + 1, x, 1.0).isfinite().all()  # w is 0
