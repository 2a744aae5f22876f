"""Denoising losses: values worked out by hand, identities between the predictions, the expectation over timesteps."""

import pytest
import torch

from lit_unlearn.losses.denoising import clean, min_snr_weight, noised, squared_error, stratified_timesteps, target


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def test_by_hand():
    x, noise, a = tensor(1, -1), tensor(2, 0), torch.tensor([0.64], dtype=torch.float64)
    torch.testing.assert_close(noised(x, noise, a), tensor(0.8 + 1.2, -0.8))
    torch.testing.assert_close(target(x, noise, a, "v_prediction"), tensor(0.8 * 2 - 0.6, 0.6))
    assert target(x, noise, a, "epsilon") is noise and target(x, noise, a, "sample") is x
    assert squared_error(x, noise).tolist() == [1.0]  # (1 + 1) / 2
    assert squared_error(x, noise, "sum").tolist() == [2.0]


def test_the_targets_tell_the_same():
    """From x_t and any of the three, the other two follow: x_0 = sqrt(a) x_t - sqrt(1 - a) v."""
    x, noise, a = torch.randn(3, 1, 4, 4).double(), torch.randn(3, 1, 4, 4).double(), torch.rand(3).double()
    xt, v, b = noised(x, noise, a), target(x, noise, a, "v_prediction"), a.view(-1, 1, 1, 1)
    torch.testing.assert_close(b.sqrt() * xt - (1 - b).sqrt() * v, x)
    torch.testing.assert_close((1 - b).sqrt() * xt + b.sqrt() * v, noise)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_clean_picture_is_behind_each_target(prediction):
    x, noise, a = torch.randn(3, 1, 4, 4).double(), torch.randn(3, 1, 4, 4).double(), torch.rand(3).double()
    torch.testing.assert_close(clean(target(x, noise, a, prediction), noised(x, noise, a), a, prediction), x)


def test_the_clean_picture_by_hand():
    said, x, a = tensor(0.5), tensor(1.1), torch.tensor([0.64], dtype=torch.float64)
    torch.testing.assert_close(clean(said, x, a, "epsilon"), tensor((1.1 - 0.6 * 0.5) / 0.8))
    torch.testing.assert_close(clean(said, x, a, "v_prediction"), tensor(0.8 * 1.1 - 0.6 * 0.5))
    assert clean(said, x, a, "sample") is said


@pytest.mark.parametrize(("prediction", "expected"), [("epsilon", [1.0, 0.5]), ("v_prediction", [0.5, 5 / 11])])
def test_min_snr_by_hand(prediction, expected):
    """SNR 1 and 10, gamma 5."""
    a = torch.tensor([0.5, 10 / 11], dtype=torch.float64)
    torch.testing.assert_close(min_snr_weight(a, prediction, 5.0), torch.tensor(expected, dtype=torch.float64))


def test_min_snr_is_one_weight_of_the_same_error():
    """An error d in x_0 is an error of d sqrt(SNR) in epsilon: weighted, both losses are the same."""
    a = torch.tensor([0.1, 0.5, 0.99], dtype=torch.float64)
    snr = a / (1 - a)
    torch.testing.assert_close(min_snr_weight(a, "epsilon", 5.0) * snr, min_snr_weight(a, "sample", 5.0))


def test_errors_are_wide_under_autocast():
    x = torch.full((1, 1, 2, 2), 300.0, dtype=torch.bfloat16)
    assert squared_error(x, torch.zeros_like(x)).tolist() == [90000.0]


def test_stratified_timesteps_meet_every_part_once():
    t = stratified_timesteps(20, 1000)
    assert sorted((t // 50).tolist()) == list(range(20))
    assert t.tolist() != sorted(t.tolist())
    assert stratified_timesteps(7, 3).max() == 2
