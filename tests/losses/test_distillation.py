"""The losses of adversarial distillation: by hand in float64, limits, identities."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses.distillation import (
    boosted_cross_entropy,
    class_probability,
    cross_entropy,
    kl_divergence,
    representation_distance,
    trust,
)


def logits(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


Y = torch.tensor([0])


def test_cross_entropy_by_hand():
    assert cross_entropy(logits(0.25, 0.75), Y).tolist() == pytest.approx([math.log(4)], rel=1e-12)


def test_kl_by_hand():
    """Target (1/2, 1/2), output (1/4, 3/4): 1/2 log 2 + 1/2 log(2/3)."""
    target, output = logits(0.5, 0.5), logits(0.25, 0.75)
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert kl_divergence(target, output).item() == pytest.approx(expected, rel=1e-12)
    assert kl_divergence(target, output, reduction="mean").item() == pytest.approx(expected / 2, rel=1e-12)
    assert kl_divergence(output, target).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=1e-12)


def test_kl_with_temperature_by_hand():
    """At temperature 2, (1/10, 9/10) becomes (1/4, 3/4): square roots 1 : 3; and 2^2 stands in front."""
    expected = 4 * (0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert kl_divergence(logits(0.5, 0.5), logits(0.1, 0.9), tau=2.0).item() == pytest.approx(expected, rel=1e-12)


def test_kl_agrees_with_torch():
    a, b = torch.randn(2, 7, 5, dtype=torch.float64).unbind()
    theirs = F.kl_div(b.log_softmax(1), a.log_softmax(1), reduction="none", log_target=True)
    torch.testing.assert_close(kl_divergence(a, b), theirs.sum(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(kl_divergence(a, b, reduction="mean").mean(), theirs.mean(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(kl_divergence(a, a), torch.zeros(7, dtype=torch.float64))


def test_high_temperature_matches_logits():
    """t^2 KL tends to |(a - mean a) - (b - mean b)|^2 / (2 K) (Hinton et al. 2015)."""
    a, b = torch.randn(2, 7, 5, dtype=torch.float64).unbind()
    centred = (a - a.mean(1, keepdim=True)) - (b - b.mean(1, keepdim=True))
    torch.testing.assert_close(kl_divergence(a, b, tau=1e4), centred.square().sum(1) / 10, rtol=1e-3, atol=1e-6)


def test_kl_has_gradients_to_both_sides():
    a, b = torch.randn(2, 3, 4, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(kl_divergence, (a.detach().requires_grad_(), b.detach().requires_grad_()))


def test_boosted_cross_entropy_by_hand():
    """p = (1/2, 3/10, 1/5), class 0: log 2 - log(1.0001 - 0.3); class 2: log 5 - log(1.0001 - 0.5)."""
    output = logits(0.5, 0.3, 0.2)
    assert boosted_cross_entropy(output, Y).item() == pytest.approx(math.log(2) - math.log(0.7001), rel=1e-12)
    second = boosted_cross_entropy(output, torch.tensor([2])).item()
    assert second == pytest.approx(math.log(5) - math.log(0.5001), rel=1e-12)


def test_trust_by_hand():
    output = logits(0.25, 0.75).requires_grad_()
    assert trust(output, Y, 0.5).item() == pytest.approx(0.5, rel=1e-12)
    assert trust(output, Y, 1.0).item() == pytest.approx(0.25, rel=1e-12)
    assert trust(output, Y, 0.0).item() == 1
    assert not trust(output, Y, 0.5).requires_grad
    assert class_probability(output, torch.tensor([1])).item() == pytest.approx(0.75, rel=1e-12)


def test_representation_distances_by_hand():
    """h = (3, 4), g = (4, 3): |h - g|^2 / 2 = 1; cosine 24/25."""
    h, g = torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([[4.0, 3.0]], dtype=torch.float64)
    assert representation_distance(h, g, "squared_l2").item() == pytest.approx(1, rel=1e-12)
    assert representation_distance(h, g, "cosine").item() == pytest.approx(1 / 25, rel=1e-12)
    assert representation_distance(h, g, "normalised_l2").item() == pytest.approx(2 / 25, rel=1e-12)


@pytest.mark.parametrize("distance", ["squared_l2", "normalised_l2", "cosine"])
def test_representation_distances_of_equal_and_scaled(distance):
    h = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(representation_distance(h, h, distance), torch.zeros(4, dtype=torch.float64))
    scaled = representation_distance(h, 2 * h, distance)
    assert scaled.shape == (4,)
    assert (scaled > 0.1).all() if distance == "squared_l2" else (scaled.abs() < 1e-12).all()


def test_half_precision_is_computed_in_float32():
    a, b = torch.randn(2, 5, 4, dtype=torch.bfloat16).unbind()
    assert kl_divergence(a, b).dtype == torch.float32
    torch.testing.assert_close(kl_divergence(a, b), kl_divergence(a.float(), b.float()))
    assert representation_distance(a, b, "cosine").dtype == torch.float32
