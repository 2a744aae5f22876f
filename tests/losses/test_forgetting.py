"""Token-wise forgetting losses by hand; what holds for all losses is in test_llm_losses."""

import math
from math import log

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.forgetting import (
    ce_u,
    control_vector,
    gradient_ascent,
    ihl,
    pdu_forget,
    rmu,
    satimp,
    undial,
    wga,
)
from lit_unlearn.losses.tokens import IGNORED, answer_logits
from tests.losses.llm_losses import answer, problem

P = [[0.5, 0.3, 0.2], [0.6, 0.15, 0.25]]
GOLD = [0, 2]  # p = .5 and .25


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (gradient_ascent, (log(0.5) + log(0.25)) / 2),
        (lambda x, y: wga(x, y, beta=1), (0.5 * log(0.5) + 0.25 * log(0.25)) / 2),
        (lambda x, y: wga(x, y, beta=0.5), (0.5**0.5 * log(0.5) + 0.5 * log(0.25)) / 2),
        (lambda x, y: satimp(x, y, 5, 1), (0.5**6 * log(0.5) + 0.25**5 * 0.75 * log(0.25)) / 2),
        (ce_u, -(0.8 * log(0.6) + 0.2 * log(0.15))),  # of the second: .6 and .15 share what the true token had
        (lambda x, y: ce_u(x, y, 0), -(0.6 * log(0.3) + 0.4 * log(0.2) + 0.8 * log(0.6) + 0.2 * log(0.15)) / 2),
        (ihl, ((1 + 0.5 - 0.3) + (1 + 0.25 - 0.6)) / 2),
    ],
)
def test_by_hand(loss, value: float):
    assert loss(*answer(P, GOLD)).item() == pytest.approx(value, rel=1e-14)


def test_undial_by_hand():
    """The teacher's (3/4, 1/4) with the first logit lowered by log 3 is (1/2, 1/2)."""
    (teacher, labels), (student, _) = answer([[3 / 4, 1 / 4]], [0]), answer([[1 / 3, 2 / 3]], [0])
    value = undial(student, labels, teacher[0, :1], beta=log(3)).item()
    assert value == pytest.approx(-(log(1 / 3) + log(2 / 3)) / 2, rel=1e-14)


def test_pdu_by_hand():
    logits = torch.tensor([[[3.0, 1, -1], [2, 2, -1], [50, 0, 0]]], dtype=torch.float64)
    assert pdu_forget(logits, torch.tensor([[IGNORED, 2, 0]])).item() == pytest.approx((2**2 + 1) / 2, rel=1e-14)
    assert pdu_forget(torch.full((1, 2, 5), 7.0), torch.tensor([[IGNORED, 0]])).item() == 0


def gradient(loss, logits: Tensor) -> Tensor:
    x = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [  # of one token with softmax p = (.5, .3, .2) and the true token 0; d log p_0 / d logits = onehot - p
        (lambda x, y: wga(x, y, 1), [0.5 * 0.5, -0.5 * 0.3, -0.5 * 0.2]),
        (lambda x, y: satimp(x, y, 2, 1), [0.125 * 0.5, -0.125 * 0.3, -0.125 * 0.2]),
        (lambda x, y: ce_u(x, y, 0), [0.5 - 0, 0.3 - 0.6, 0.2 - 0.4]),  # softmax - target
    ],
)
def test_weights_and_targets_carry_no_gradient(loss, expected: list[float]):
    logits, labels = answer([P[0]], [0])
    slope = gradient(lambda x: loss(x, labels), logits)[0, 0]
    torch.testing.assert_close(slope, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-15)


def test_without_weights_it_is_gradient_ascent():
    p = problem()
    for loss in (lambda x: wga(x, p.labels, 0.0), lambda x: satimp(x, p.labels, 0.0, 0.0)):
        assert torch.equal(loss(p.logits), gradient_ascent(p.logits, p.labels))
        assert torch.equal(gradient(loss, p.logits), gradient(lambda x: gradient_ascent(x, p.labels), p.logits))


def test_satimp_weighs_neither_what_is_certain_nor_what_is_gone():
    logits = torch.tensor([[[1e3, 0], [-1e3, 0], [0, 0]]])
    assert satimp(logits, torch.tensor([[IGNORED, 0, 0]]), 5, 1).item() == 0


def test_undial_rests_at_the_untouched_model_if_nothing_is_lowered():
    p = problem()
    reference = answer_logits(p.logits, p.labels)[0].requires_grad_()
    assert gradient(lambda x: undial(x, p.labels, reference, beta=0), p.logits).abs().max() < 1e-16
    assert gradient(lambda x: undial(x, p.labels, reference, beta=1), p.logits).abs().max() > 0.01
    undial(p.logits.requires_grad_(), p.labels, reference, beta=1).backward()
    assert reference.grad is None


def test_undial_lowers_the_answer_only():
    """IGNORED as an index would be token 28 of 128: it would be lowered in the prompt and in the padding."""
    p = problem(vocabulary=128)
    reference, _ = answer_logits(p.logits, p.labels)
    falls = gradient(lambda x: undial(x, p.labels, reference, beta=10), p.logits) > 1e-12
    expected = [[b, t, p.labels[b, t + 1]] for b, t in (p.labels[:, 1:] != IGNORED).nonzero().tolist()]
    assert falls.nonzero().tolist() == expected


def test_ce_u_of_a_certain_token_is_finite():
    logits = torch.tensor([[[800.0, 0, 1], [0, 0, 0]]])
    assert ce_u(logits, torch.tensor([[IGNORED, 0]]), skip_first=0).isfinite()
    assert gradient(lambda x: ce_u(x, torch.tensor([[IGNORED, 0]]), 0), logits).isfinite().all()


def test_ce_u_needs_more_than_the_tokens_it_skips():
    with pytest.raises(ValueError, match="no labelled token"):
        ce_u(*answer([P[0]], [0]))


@pytest.mark.parametrize(("distribution", "value"), [([1, 0, 0], 2), ([0.4, 0.4, 0.2], 1), ([0, 0, 1], 0)])
def test_ihl_at_its_bounds(distribution: list[float], value: float):
    logits, labels = answer([distribution], [0])
    assert ihl(logits.nan_to_num(neginf=-1e9), labels).item() == pytest.approx(value, abs=1e-12)


def test_ihl_is_bounded():
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn(300, 2, 5, generator=generator)
    each = torch.stack([ihl(logits[i : i + 1], torch.tensor([[IGNORED, 0]])) for i in range(300)])
    assert (each >= 0).all() and (each <= 2).all() and each.min() < 0.01 and each.max() > 1.99


def test_rmu_steers_what_the_answer_is_predicted_from():
    """The last token of the prompt (1) and all of the answer (2, 3, 4) but its last."""
    hidden = torch.tensor([[[7.0, 7], [1, 0], [0, 2], [3, 3], [9, 9], [5, 5]]], dtype=torch.float64)
    labels = torch.tensor([[IGNORED, IGNORED, 8, 8, 8, IGNORED]])
    control = torch.tensor([1.0, 1.0], dtype=torch.float64)
    assert rmu(hidden, labels, control).item() == pytest.approx((1 / 2 + 2 / 2 + 8 / 2) / 3, rel=1e-14)
    steered = gradient(lambda h: rmu(h, labels, control), hidden).ne(0).any(-1)
    assert steered.tolist() == [[False, True, True, True, False, False]]
    assert rmu(control.expand(1, 6, 2), labels, control).item() == 0


def test_the_control_vector_is_drawn_once():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    control = control_vector(width=500, scale=2.0, seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # other draws neither move it nor are moved
    torch.manual_seed(2)
    assert torch.equal(control_vector(500, 2.0, 3), control)
    assert not torch.equal(control_vector(500, 2.0, 4), control)
    assert control.norm().item() == pytest.approx(2, rel=1e-6) and (control >= 0).all()
    # r ~ U[0, 1): r / |r| has entries up to sqrt(3 / d)
    assert control.max().item() == pytest.approx(2 * math.sqrt(3 / 500), rel=0.05)


def test_dual_updates_are_not_part_of_the_loss():
    p = problem()
    assert torch.equal(pdu_forget(p.logits, p.labels), pdu_forget(p.logits, p.labels))
    scores, _ = answer_logits(p.logits, p.labels)
    torch.testing.assert_close(pdu_forget(p.logits, p.labels), (scores.amax(1) - scores.mean(1)).square().mean())
