"""Scores of latents on hand-made firing matrices."""

import pytest
import torch

from lit_unlearn.metrics.latents import firing_rates, latent_scores, specific, top_latents

KNOWN = torch.tensor(
    [  # two states of type 0, two of type 1; latents: known everywhere, known of type 0 only, unknown, always, never
        [0.7, 2.0, 0.0, 1.0, 0.0],
        [0.2, 1.0, 0.0, 1.0, 0.0],
        [0.1, 0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.3, 1.0, 0.0],
    ]
)
UNKNOWN = torch.tensor(
    [
        [0.0, 0.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, 1.0, 1.0, 1e-7],
    ]
)
TYPES = torch.tensor([0, 0, 1, 1])


def test_a_latent_fires_above_the_threshold():
    assert firing_rates(torch.tensor([[0.0, 1e-6, 2e-6], [0.0, 0.0, 5.0]])).tolist() == [0, 0, 1]


def test_scores_are_minima_over_types():
    scores = latent_scores(KNOWN, UNKNOWN, TYPES, TYPES)
    assert scores.known.tolist() == [0.5, -0.5, -1.0, 0, 0]
    assert scores.unknown.tolist() == [-1.0, -1.0, 0.5, 0, 0]


def test_without_types_all_states_count_alike():
    scores = latent_scores(KNOWN, UNKNOWN)
    assert scores.known.tolist() == [0.75, 0.25, -0.75, 0, 0]
    assert torch.equal(scores.unknown, -scores.known)


def test_types_weigh_the_same_whatever_their_numbers():
    """Three states of one type and one of the other: the minimum is over the types' rates, not over states."""
    known, unknown = torch.tensor([[1.0], [1.0], [1.0], [0.0]]), torch.zeros(2, 1)
    assert latent_scores(known, unknown, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1])).known.item() == 0


def test_a_type_of_one_side_only_is_refused():
    with pytest.raises(ValueError, match=r"types \[0, 1\] of known, \[0\] of unknown"):
        latent_scores(KNOWN, UNKNOWN, TYPES, torch.zeros(4, dtype=torch.long))


def test_latents_of_general_text_are_not_specific():
    z = torch.zeros(100, 3)
    z[:2, 1], z[:1, 2] = 1, 1
    assert specific(z).tolist() == [True, False, True]  # 0, 2 and 1 of 100 tokens


def test_the_best_allowed_latents_first():
    scores = torch.tensor([0.2, 0.9, 0.5, 0.5, 0.0, -0.1])
    everything = torch.ones(6, dtype=torch.bool)
    assert top_latents(scores, everything, 3).tolist() == [1, 2, 3]
    assert top_latents(scores, everything, 6).tolist() == [1, 2, 3, 0]  # the others do not tell
    assert top_latents(scores, torch.tensor([True, False, True, False, True, True]), 6).tolist() == [2, 0]
    assert top_latents(scores, ~everything, 2).tolist() == []
