"""The PU loss of diffusion models: identities on constructed sets, finite numbers at both ends, the cap and range."""

import math

import pytest
import torch

from lit_unlearn.losses.pu import positive_bce, pu_risk
from lit_unlearn.losses.pu_diffusion import held_back, sensitive_gradient_weight


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_from_1e_minus_12_to_1e4(dtype):
    loss = torch.tensor([1e-12, 1e-6, 0.05, 1, 5, 1e4], dtype=dtype, requires_grad=True)
    value = positive_bce(loss, least=1e-6)
    value.sum().backward()
    assert value.dtype == torch.float32 and value.isfinite().all() and loss.grad.isfinite().all()
    assert value[0].item() == pytest.approx(-math.log(1e-6), rel=1e-3)  # clamped at 1e-6
    assert loss.grad[0] == loss.grad[1] < -9e5  # and still pushed away
    assert value[-1] == 0 and loss.grad[-1] == 0


def test_slopes_of_the_spec():
    loss = double(0.05, 1, 5).requires_grad_(True)
    positive_bce(loss).sum().backward()
    assert loss.grad.tolist() == pytest.approx([-19.504, -0.58198, -0.0067837], rel=1e-4)


def test_beta_0_is_the_unsupervised_loss():
    unlabeled, labelled = double(0.3, 0.5).mean(), double(0.1, 0.2)
    for correction in ("abs", "clamp", "nnpu", "none"):
        found = pu_risk(positive_bce(labelled).mean(), unlabeled, labelled.mean(), 0.0, correction)
        assert found == unlabeled


def test_an_exact_mixture_gives_the_supervised_risk():
    """U of eight normal and two sensitive losses, S of the same two: beta E_S l(x,1) + (1 - beta) E_N l(x,0)."""
    normal, sensitive = double(*range(1, 9)) / 10, double(0.4, 0.9)
    unlabeled = torch.cat([normal, sensitive])
    found = pu_risk(positive_bce(sensitive).mean(), unlabeled.mean(), sensitive.mean(), 0.2, "none")
    expected = 0.2 * positive_bce(sensitive).mean() + 0.8 * normal.mean()
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)


def test_abs_and_clamp_where_the_bracket_is_positive_and_where_not():
    positive = double(0.1)[0]
    for unlabeled, bracket in ((0.5, 0.3), (0.1, -0.1)):
        plain, absolute, clamped = (
            pu_risk(positive, double(unlabeled)[0], double(1.0)[0], 0.2, correction).item()
            for correction in ("none", "abs", "clamp")
        )
        assert plain == pytest.approx(0.02 + bracket)
        assert absolute == pytest.approx(0.02 + abs(bracket))
        assert clamped == pytest.approx(0.02 + max(0, bracket))


def test_held_back_by_hand():
    losses = double(0.1, 5.0, 2.0, 1.0).view(2, 2)
    timesteps = torch.tensor([[100, 400], [600, 599]])
    reference = double(1.0, 0.5, 1.0, 0.5).view(2, 2)
    held = held_back(losses, timesteps, reference, cap=4.0, low=100, high=600)
    assert held.loss.tolist() == pytest.approx([0.1, (2.0 + 1.0) / 2])  # 5 is cut at 4 x 0.5; t = 600 is outside
    assert held.share.tolist() == [0.5, 1.0]
    assert held.negative.tolist() == pytest.approx([0.05, 1.5])
    expected = [-0.5 * math.log(1 - math.exp(-0.1)), -math.log(1 - math.exp(-1.5))]
    assert held.positive(1e-6).tolist() == pytest.approx(expected)


def test_without_cap_and_range_it_is_the_plain_reading():
    losses = torch.rand(1, 6, dtype=torch.float64)
    timesteps = torch.randint(1000, (1, 6))
    held = held_back(losses, timesteps, torch.full((1, 6), math.inf, dtype=torch.float64), None, 0, 1000)
    torch.testing.assert_close(held.negative, losses[0])
    torch.testing.assert_close(held.positive(1e-7), positive_bce(losses[0]))


def test_no_gradient_from_beyond_the_cap_or_outside_the_range():
    losses = double(0.1, 5.0, 0.3).view(1, 3).requires_grad_(True)
    held = held_back(losses, torch.tensor([[200, 200, 900]]), torch.ones(1, 3).double(), 4.0, 100, 600)
    (held.negative.sum() + held.positive(1e-6).sum()).backward()
    assert losses.grad[0, 0] < -8 and losses.grad[0, 1:].tolist() == [0, 0]


def test_how_much_a_sample_of_s_weighs():
    found = sensitive_gradient_weight(double(0.05, 0.5, 300.0), beta=0.1)
    assert found.tolist() == pytest.approx([2.0504, 0.25415, 0.1], rel=1e-4)
    loss = double(0.37).requires_grad_(True)
    (0.1 * positive_bce(loss) - 0.1 * loss).sum().backward()  # the two terms of S in equation (2)
    torch.testing.assert_close(-loss.grad, sensitive_gradient_weight(loss.detach(), 0.1))
