"""Losses of AdvUnlearn, by hand in float64."""

import torch

from lit_unlearn.losses.adversarial_prompts import erased, kept, recalled, sign_step


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64).view(1, 1, 1, -1)


def test_the_attack_looks_at_what_was_once_said():
    assert recalled(values(1.0, 4.0), values(2.0, 2.0)).tolist() == [2.5]  # (1 + 4) / 2
    assert recalled(values(1.0), values(1.0)).tolist() == [0.0]


def test_the_fast_attack_is_one_step_of_equal_length_in_every_value():
    prefix = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    assert sign_step(prefix, torch.tensor([[5.0, -0.001, 0.0]]), 0.25).tolist() == [[0.75, 2.25, 3.0]]


def test_what_is_to_be_said_is_guided_away():
    """Told 3, untold 1: at eta 0.5 the target is 1 - 0.5 * 2 = 0."""
    told, untold = values(3.0, 3.0), values(1.0, 1.0)
    assert erased(values(2.0, 0.0), told, untold, 0.5).tolist() == [2.0]  # (4 + 0) / 2
    assert erased(untold, told, untold, 0.0).tolist() == [0.0]
    assert erased(untold, told, untold, 1.0).tolist() == [4.0]  # (1 + eta)^2 ... the target is -1


def test_what_stays_is_what_was_said():
    assert kept(values(1.0, 2.0), values(1.0, 5.0)).tolist() == [4.5]
    assert kept(torch.zeros(3, 2, 4, 4), torch.ones(3, 2, 4, 4)).tolist() == [1.0, 1.0, 1.0]
