"""Losses of class forgetting, by hand."""

import pytest
import torch

from lit_unlearn.losses.class_forgetting import elastic_penalty, guided_away, largest_gradients, without_conflict


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
