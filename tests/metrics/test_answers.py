"""Answers judged by teacher forcing: by hand."""

import math

import numpy as np
import pytest
import torch

from lit_unlearn.losses.tokens import IGNORED
from lit_unlearn.metrics.answers import (
    exact_match,
    log_truth_ratio,
    mean_log_prob,
    perplexity,
    truth_ratio_forgotten,
    truth_ratio_kept,
)

X = IGNORED


def saying(predicted: list[int], vocabulary: int = 6) -> torch.Tensor:
    """(1, T, V) logits whose argmax at place t is predicted[t]."""
    return torch.nn.functional.one_hot(torch.tensor([predicted]), vocabulary).double()


@pytest.mark.parametrize(
    ("predicted", "right"),
    [
        ([9, 3, 4, 9], True),  # the places before the answer and its last say nothing of it
        ([9, 3, 5, 9], False),
        ([9, 5, 4, 9], False),  # a wrong first token: greedy decoding has left the answer, though 4 follows 3
        ([3, 4, 9, 9], False),  # not shifted
    ],
)
def test_exact_match_by_hand(predicted: list[int], right: bool):
    labels = torch.tensor([[X, X, 3, 4]])
    assert exact_match(saying(predicted, 10), labels).tolist() == [right]


def test_padding_after_an_answer_says_nothing():
    labels = torch.tensor([[X, 3, X, X], [X, 3, 4, 1]])
    logits = torch.cat([saying([3, 0, 0, 0]), saying([3, 4, 0, 0])])
    assert exact_match(logits, labels).tolist() == [True, False]


def test_a_row_without_an_answer_is_refused():
    with pytest.raises(ValueError, match=r"rows without a labelled token: \[1\]"):
        exact_match(torch.zeros(2, 3, 4), torch.tensor([[X, 1, X], [X, X, X]]))


def test_mean_log_prob_is_that_of_a_token():
    probabilities = torch.tensor([[[0.5, 0.3, 0.2], [0.125, 0.5, 0.375], [1 / 3, 1 / 3, 1 / 3]]], dtype=torch.float64)
    value = mean_log_prob(probabilities.log(), torch.tensor([[X, 0, 0]]))
    assert value.item() == pytest.approx(math.log(0.25), rel=1e-14)  # the geometric mean of 1/2 and 1/8


def test_truth_ratio_averages_losses_and_leaves_out_what_is_not_there():
    right = np.log([0.5, 0.1])
    wrong = np.log([[0.1, 0.4], [0.2, np.nan]])
    assert np.exp(log_truth_ratio(right, wrong)) == pytest.approx([0.2 / 0.5, 2.0], rel=1e-14)


def test_truth_ratios_by_hand():
    log_ratio = np.log([0.25, 1.0, 4.0])
    assert truth_ratio_forgotten(log_ratio) == pytest.approx([0.25, 1, 0.25], rel=1e-14)
    assert truth_ratio_kept(log_ratio) == pytest.approx([0.75, 0, 0], rel=1e-14)


def test_truth_ratios_of_a_collapsed_model_are_finite():
    with np.errstate(all="raise"):
        log_ratio = log_truth_ratio(np.array([-2000.0, -1.0]), np.array([[-3.0], [-2000.0]]))
        assert truth_ratio_kept(log_ratio).tolist() == [0, 1]
    assert truth_ratio_forgotten(log_ratio) == pytest.approx([0, 0])


def test_perplexity_of_a_uniform_model_is_the_vocabulary():
    assert perplexity(torch.full((7,), -math.log(5))) == pytest.approx(5, rel=1e-6)
    assert perplexity(torch.log(torch.tensor([0.5, 0.125], dtype=torch.float64))) == pytest.approx(4, rel=1e-14)
