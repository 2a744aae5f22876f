"""Sequence-wise forgetting losses by hand, their limits and identities; test_llm_losses has what holds for all."""

from math import exp, log, tanh
from typing import get_args

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.preference import Divergence, dpo, flat, npo, simnpo
from lit_unlearn.losses.tokens import answer_lengths, sequence_log_probs
from tests.losses.llm_losses import direct, problem

DIVERGENCES = get_args(Divergence)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def slope(loss, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def test_npo_by_hand():
    """Ratios of 4 and 1/9 with beta 1/2: 4 log(1 + 2) and 4 log(1 + 1/3)."""
    value = npo(double(-1, -7), double(-1 - log(4), -7 + log(9)), beta=0.5).item()
    assert value == pytest.approx((4 * log(3) + 4 * log(4 / 3)) / 2, rel=1e-14)


def test_dpo_by_hand():
    """beta [(1) - (-2)] = 3/2."""
    value = dpo(double(-2), double(-5), double(-3), double(-3), beta=0.5).item()
    assert value == pytest.approx(-4 * log(1 / (1 + exp(-1.5))), rel=1e-14)


def test_simnpo_by_hand():
    """Answers of probability 1/4 in two tokens and of 1/27 in three, delta log 2: 1 + (1/2 * 2)^2, 1 + (1/3 * 2)^2."""
    value = simnpo(double(-log(4), -log(27)), torch.tensor([2, 3]), beta=2.0, delta=log(2)).item()
    assert value == pytest.approx((log(1 + 1) + log(1 + 4 / 9)) / 2, rel=1e-14)


@pytest.mark.parametrize(
    ("divergence", "value"),
    [
        ("total_variation", (-tanh(0.2) + tanh(0.7)) / 2),
        ("kl", -0.2 + exp(0.7 - 1)),
        ("jensen_shannon", log(1 + exp(-0.2)) + 0.7 + log(1 + exp(-0.7)) - 2 * log(2)),
        ("pearson", -0.2 + 0.7**2 / 4 + 0.7),
    ],
)
def test_flat_by_hand(divergence: Divergence, value: float):
    assert flat(double(0.2), double(0.7), divergence).item() == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_flat_is_the_variational_form_and_monotone(divergence: Divergence):
    for a, b in torch.cartesian_prod(*2 * [torch.linspace(0, 1, 11, dtype=torch.float64)]):
        torch.testing.assert_close(flat(a[None], b[None], divergence), direct(divergence, a, b))
        assert slope(lambda x, b=b: flat(x, b[None], divergence), a[None]) < 0
        assert slope(lambda x, a=a: flat(a[None], x, divergence), b[None]) > 0


@pytest.mark.parametrize("beta", [0.05, 0.5, 4.5])
def test_at_the_untouched_model(beta: float):
    at = double(-3.0, -40.0, -0.1)
    for value in (npo(at, at, beta), dpo(at, at - 1, at, at - 1, beta)):
        assert value.item() == pytest.approx(2 / beta * log(2), rel=1e-14)


def test_dpo_without_the_chosen_answer_is_npo():
    rejected, reference = double(-3.0, -9.0), double(-5.0, -2.0)
    chosen = double(-1.0, -2.0)
    torch.testing.assert_close(dpo(chosen, rejected, chosen, reference, 0.3), npo(rejected, reference, 0.3))


def test_npo_rises_with_the_likelihood_and_ends_at_zero():
    log_probs = torch.linspace(-800, 0, 801, dtype=torch.float64)
    values = torch.stack([npo(x[None], double(-20), 0.5) for x in log_probs])
    assert (values >= 0).all() and (values.diff() >= 0).all() and values[0] < 1e-100
    extreme = npo(torch.tensor([-1e6, 0.0]), torch.tensor([0.0, -1e6]), 0.1)
    assert extreme.item() == pytest.approx(1e6, rel=1e-6)  # 2 * 1e6 and 0


@pytest.mark.parametrize(
    ("loss", "limit"),
    [
        (lambda x, y, beta: npo(x, 3 * x.detach() - 1, beta), lambda x, y: x.mean()),  # gradient ascent on sequences
        (lambda x, y, beta: simnpo(x, answer_lengths(y), beta, 0.3), lambda x, y: (x / answer_lengths(y)).mean()),
    ],
    ids=["npo", "simnpo"],
)
def test_a_small_beta_gives_the_gradient_of_gradient_ascent(loss, limit):
    p = problem()
    expected = slope(lambda x: limit(sequence_log_probs(x, p.labels), p.labels), p.logits)
    for beta in (1e-4, 1e-6):
        gradient = slope(lambda x, beta=beta: loss(sequence_log_probs(x, p.labels), p.labels, beta), p.logits)
        torch.testing.assert_close(gradient, expected, rtol=100 * beta, atol=1e-16)
    far = slope(lambda x: loss(sequence_log_probs(x, p.labels), p.labels, 1.0), p.logits)
    assert not torch.allclose(far, expected, rtol=0.01)


def test_simnpo_does_not_see_how_long_an_answer_is():
    log_probs, lengths = double(-3.0, -8.0), torch.tensor([2, 5])
    torch.testing.assert_close(simnpo(2 * log_probs, 2 * lengths, 2.5), simnpo(log_probs, lengths, 2.5))
