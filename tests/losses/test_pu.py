"""The positive-unlabeled risk against values worked out by hand, and the properties it must have."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.pu import Correction, positive_bce, positive_inverse, pu_risk

CORRECTIONS: tuple[Correction, ...] = ("abs", "clamp", "nnpu", "none")

# l, -log(1 - exp(-l)), -1/(exp(l) - 1): computed with 50 decimal digits
TABLE = [
    (0.01, 4.610166019324897, -99.50083333194445),
    (0.05, 3.020628109057377, -19.50416649306589),
    (0.1, 2.352168461044091, -9.508331944775050),
    (0.5, 0.9327521295671886, -1.541494082536798),
    (1.0, 0.4586751453870819, -0.5819767068693264),
    (2.0, 0.1454134578688591, -0.1565176427496657),
    (5.0, 6.760749449488558e-3, -6.783654906304231e-3),
    (10.0, 4.540096037048921e-5, -4.540199100968777e-5),
    (50.0, 1.928749847963918e-22, -1.928749847963918e-22),
]


def value_and_slope(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = function(x)
    return y.detach(), torch.autograd.grad(y.sum(), x)[0]


def means(positive: float, unlabeled: float, labelled: float) -> list[Tensor]:
    """L_A+, L_U- and L_A- as leaves."""
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (positive, unlabeled, labelled)]


@pytest.mark.parametrize(("loss", "value", "slope"), TABLE)
def test_positive_bce_has_the_values_of_the_table(loss: float, value: float, slope: float):
    y, dy = value_and_slope(positive_bce, torch.tensor([loss], dtype=torch.float64))
    # Both are taken from 1 - exp(-l), which is 1 to the last digit from l = 37: exactly 0 there is right.
    torch.testing.assert_close(y, torch.tensor([value], dtype=torch.float64), rtol=1e-11, atol=1e-16)
    torch.testing.assert_close(dy, torch.tensor([slope], dtype=torch.float64), rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize(
    ("dtype", "autocast"), [(torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)]
)
def test_positive_bce_is_finite_at_any_scale(dtype: torch.dtype, autocast: bool):
    loss = torch.tensor([0, 1e-12, 1e-6, 1, 1e4], dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y, dy = value_and_slope(positive_bce, loss)
    assert y.dtype == torch.float32
    assert y.isfinite().all() and dy.isfinite().all()
    # -log(1e-7) = 16.118 at and below `least`, -log(1e-6) = 13.816, the table's value at 1, nothing left at 1e4.
    torch.testing.assert_close(y, torch.tensor([16.118, 16.118, 13.816, 0.4587, 0]), rtol=1e-3, atol=1e-4)
    # -1/l while l is small: an item that is reconstructed perfectly is still pushed away.
    torch.testing.assert_close(dy.float(), torch.tensor([-1e7, -1e7, -1e6, -0.582, 0]), rtol=1e-2, atol=1e-30)


def test_positive_bce_falls_and_is_never_negative():
    y = positive_bce(torch.logspace(-9, 4, 1000, dtype=torch.float64))
    assert (y >= 0).all() and (y.diff() <= 0).all()


def test_positive_inverse_by_hand():
    y, dy = value_and_slope(lambda d: positive_inverse(d, eps=0.5), torch.tensor([0.0, 0.5, 3.5], dtype=torch.float64))
    torch.testing.assert_close(y, torch.tensor([2, 1, 0.25], dtype=torch.float64))
    torch.testing.assert_close(dy, torch.tensor([-4, -1, -0.0625], dtype=torch.float64))
    torch.testing.assert_close(positive_inverse(torch.zeros(1)), torch.tensor([1e6]))


@pytest.mark.parametrize("function", [positive_bce, positive_inverse])
def test_gradients_of_the_losses(function: Callable[[Tensor], Tensor]):
    loss = torch.tensor([0.03, 0.4, 1.7, 6.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, loss)


@pytest.mark.parametrize("function", [positive_bce, positive_inverse])
def test_losses_are_per_sample(function: Callable[[Tensor], Tensor]):
    loss = torch.rand(12, dtype=torch.float64)
    order = torch.randperm(12)
    assert torch.equal(function(loss[order]), function(loss)[order])
    assert torch.equal(torch.cat([function(loss[:5]), function(loss[5:])]), function(loss))


# L_A+ = 3, L_A- = 5, alpha = 0.4: the bracket is L_U- - 2.
@pytest.mark.parametrize(
    ("correction", "unlabeled", "value", "gradient"),
    [
        ("none", 7.0, 6.2, (0.4, 1.0, -0.4)),
        ("abs", 7.0, 6.2, (0.4, 1.0, -0.4)),
        ("clamp", 7.0, 6.2, (0.4, 1.0, -0.4)),
        ("nnpu", 7.0, 6.2, (0.4, 1.0, -0.4)),
        ("none", 0.5, -0.3, (0.4, 1.0, -0.4)),
        ("abs", 0.5, 2.7, (0.4, -1.0, 0.4)),  # that of alpha L_A+ - L_U- + alpha L_A-
        ("clamp", 0.5, 1.2, (0.4, 0.0, 0.0)),
        ("nnpu", 0.5, 1.5, (0.0, -1.0, 0.4)),
    ],
)
def test_corrections_by_hand(correction: Correction, unlabeled: float, value: float, gradient: tuple[float, ...]):
    parts = means(3.0, unlabeled, 5.0)
    risk = pu_risk(*parts, alpha=0.4, correction=correction)
    assert risk.item() == pytest.approx(value, abs=1e-12)
    slopes = [slope.item() for slope in torch.autograd.grad(risk, parts)]
    assert slopes == pytest.approx(gradient, abs=1e-12)


def test_nnpu_tolerance_and_step():
    parts = means(3.0, 0.5, 5.0)  # bracket -1.5
    assert pu_risk(*parts, alpha=0.4, correction="nnpu", nnpu_beta=1.6).item() == pytest.approx(-0.3)
    stepped = pu_risk(*parts, alpha=0.4, correction="nnpu", nnpu_beta=1.4, nnpu_gamma=0.5)
    assert [slope.item() for slope in torch.autograd.grad(stepped, parts)] == pytest.approx([0, -0.5, 0.2])


@pytest.mark.parametrize("unlabeled", [7.0, 0.5])
@pytest.mark.parametrize("correction", CORRECTIONS)
def test_gradients_of_the_risk(correction: Correction, unlabeled: float):
    assert torch.autograd.gradcheck(lambda *parts: pu_risk(*parts, 0.4, correction), means(3.0, unlabeled, 5.0))


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_alpha_zero_is_the_unsupervised_loss(correction: Correction):
    parts = means(3.0, 0.5, 5.0)
    risk = pu_risk(*parts, alpha=0.0, correction=correction)
    assert risk.item() == 0.5
    assert [slope.item() for slope in torch.autograd.grad(risk, parts)] == [0, 1, 0]


def test_exact_mixture_gives_the_supervised_risk():
    generator = torch.Generator().manual_seed(0)
    normal = torch.rand(60, generator=generator, dtype=torch.float64)
    anomalous = 2 + torch.rand(20, generator=generator, dtype=torch.float64)
    unlabeled = torch.cat([normal, anomalous])  # alpha = 1/4 exactly
    risk = pu_risk(positive_bce(anomalous).mean(), unlabeled.mean(), anomalous.mean(), alpha=0.25, correction="none")
    supervised = 0.75 * normal.mean() + 0.25 * positive_bce(anomalous).mean()
    torch.testing.assert_close(risk, supervised, rtol=1e-14, atol=0)


def minibatch_risks(correction: Correction, num_batches: int, alpha: float = 0.3) -> Tensor:
    """(num_batches,) risks of minibatches of 16 + 8 items with l(x, 0) = x^2 and l(x, 1) = (x - 3)^2.

    Normal items are N(0, 1), anomalies N(2, 1): (1 - a) E_N[x^2] + a E_A[(x - 3)^2] = 0.7 * 1 + 0.3 * (1 + 1) = 1.3.
    """
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(num_batches, 24, generator=generator, dtype=torch.float64)
    is_anomaly = torch.rand(num_batches, 16, generator=generator) < alpha
    unlabeled, labelled = noise[:, :16] + 2 * is_anomaly, noise[:, 16:] + 2
    parts = ((labelled - 3).square(), unlabeled.square(), labelled.square())
    return pu_risk(*(part.mean(1) for part in parts), alpha=alpha, correction=correction)


def test_unbiased_risk_by_monte_carlo():
    risks = minibatch_risks("none", 100_000)
    standard_error = risks.std() / len(risks) ** 0.5
    assert standard_error < 0.005
    assert abs(risks.mean() - 1.3) < 4 * standard_error


def test_absolute_value_overestimates_on_minibatches():
    risks = minibatch_risks("abs", 100_000)
    assert risks.mean() > 1.3 + 10 * risks.std() / len(risks) ** 0.5
