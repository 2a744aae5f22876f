"""The one shift between logits and labels, and the log-probabilities after it, by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from datamodules.llm import batches
from lit_unlearn.losses.tokens import (
    IGNORED,
    aligned,
    answer_lengths,
    answer_logits,
    answer_probability,
    cross_entropy,
    sequence_log_probs,
    token_log_probs,
)

X = IGNORED
LABELS = torch.tensor([[X, X, 1, 0, X], [2, X, X, X, 2]])  # the 2 of the first token is predicted by nothing
LOGITS = torch.tensor(
    [
        [[9, 9, 9], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [9, 9, 9], [9, 9, 9]],
        [[9, 9, 9], [9, 9, 9], [9, 9, 9], [0.25, 0.5, 0.25], [9, 9, 9]],
    ],
    dtype=torch.float64,
).log()
"""Labelled tokens have the probabilities .5 and .1 in the first row, .25 in the second."""


def logs(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_data_and_losses_mask_with_the_same_number():
    """Neither may import the other."""
    assert batches.IGNORED == IGNORED


def test_a_token_is_predicted_one_before():
    logits, labels, mask = aligned(LOGITS, LABELS)
    assert torch.equal(logits, LOGITS[:, :-1])
    assert mask.tolist() == [[False, True, True, False], [False, False, False, True]]
    assert labels.tolist() == [[0, 1, 0, 0], [0, 0, 0, 2]]  # IGNORED is gone: every label is an index
    chosen, gold = answer_logits(LOGITS, LABELS)
    assert torch.equal(chosen, torch.stack([LOGITS[0, 1], LOGITS[0, 2], LOGITS[1, 3]]))
    assert gold.tolist() == [1, 0, 2]


def test_log_probabilities_by_hand():
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), -logs(0.5, 0.1, 0.25))
    log_probs, mask = token_log_probs(LOGITS, LABELS)
    torch.testing.assert_close(log_probs[mask], logs(0.5, 0.1, 0.25))
    assert not log_probs[~mask].any() and log_probs.shape == (2, 4)
    torch.testing.assert_close(sequence_log_probs(LOGITS, LABELS), logs(0.05, 0.25))
    torch.testing.assert_close(answer_probability(LOGITS, LABELS).tolist(), [0.3, 0.25])
    assert answer_lengths(LABELS).tolist() == [2, 1]


@pytest.mark.parametrize("function", [aligned, answer_logits, cross_entropy, token_log_probs])
def test_no_label_at_all_is_an_error(function: Callable[[Tensor, Tensor], object]):
    with pytest.raises(ValueError, match="no labelled token"):
        function(LOGITS, torch.tensor([[X] * 5, [2, X, X, X, X]]))


@pytest.mark.parametrize("function", [sequence_log_probs, answer_probability])
def test_a_row_without_a_label_is_no_sequence(function: Callable[[Tensor, Tensor], object]):
    labels = torch.tensor([[X, X, 1, 0, X], [2, X, X, X, X]])
    assert len(cross_entropy(LOGITS, labels)) == 2
    with pytest.raises(ValueError, match=r"rows without a labelled token: \[1\]"):
        function(LOGITS, labels)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_before_the_logarithm(dtype: torch.dtype):
    logits = (LOGITS * 30).to(dtype)
    summed = sequence_log_probs(logits, LABELS)
    assert summed.dtype == torch.float32
    torch.testing.assert_close(summed.double(), sequence_log_probs(logits.double(), LABELS), rtol=1e-6, atol=0)
