"""LogELECTRA's losses and score against values worked out by hand, and what must not influence them."""

import math

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.replaced_tokens import (
    fill,
    line_probability,
    line_score,
    masked_positions,
    masked_token_loss,
    replaced_token_loss,
    token_scores,
)

ALL = torch.ones(1, 2, dtype=torch.bool)
COUNTED = torch.tensor([[False, True, True, True, False, False], [False, True, True, True, True, False]])


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def double(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_masked_token_loss_by_hand():
    # Softmax (1/4, 3/4) with the second asked for, and (1/3, 2/3) with the first: equation (1) of two masked tokens.
    logits = double([0, math.log(3)], [0, math.log(2)])
    expected = -(math.log(3 / 4) + math.log(1 / 3)) / 2
    assert masked_token_loss(logits, torch.tensor([1, 0])).item() == pytest.approx(expected, rel=1e-14)


def test_replaced_token_loss_by_hand():
    # D = .9 at a replaced token, .2 at an original one: equation (3).
    expected = -(math.log(0.9) + math.log(0.8)) / 2
    replaced = torch.tensor([[True, False]])
    assert replaced_token_loss(double([logit(0.9), logit(0.2)]), replaced, ALL).item() == pytest.approx(expected)


def test_replaced_token_loss_weighs_tokens_not_lines():
    logits, replaced = (
        double([logit(0.9), logit(0.9)], [logit(0.2), logit(0.7)]),
        torch.tensor([[True, True], [False] * 2]),
    )
    counted = torch.tensor([[True, False], [True, True]])
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.3)) / 3
    assert replaced_token_loss(logits, replaced, counted).item() == pytest.approx(expected, rel=1e-14)


def test_line_score_by_hand():
    # -log(1 - D) of D = 1/2 and 3/4: log 2 and log 4, equation (5).
    logits = double([logit(0.5), logit(0.75)])
    assert token_scores(logits, ALL).flatten().tolist() == pytest.approx([math.log(2), math.log(4)], rel=1e-14)
    assert line_score(logits, ALL).item() == pytest.approx(1.5 * math.log(2), rel=1e-14)


def test_line_probability_by_hand():
    assert line_probability(double([logit(0.5), logit(0.75)]), ALL).item() == pytest.approx(0.625, rel=1e-14)


@pytest.mark.parametrize("score", [line_score, line_probability])
def test_a_score_is_the_mean_over_counted_tokens_only(score):
    logits = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = {line_score: torch.nn.functional.softplus, line_probability: torch.sigmoid}[score](logits)
    expected = [each[0, 1:4].mean().item(), each[1, 1:5].mean().item()]
    assert score(logits, COUNTED).tolist() == pytest.approx(expected, rel=1e-14)
    assert torch.equal(score(logits.masked_fill(~COUNTED, 1e4), COUNTED), score(logits, COUNTED))
    wider = torch.nn.functional.pad(logits, (0, 3), value=7.0), torch.nn.functional.pad(COUNTED, (0, 3))
    torch.testing.assert_close(score(*wider), score(logits, COUNTED), rtol=1e-14, atol=0)


@pytest.mark.parametrize("score", [line_score, line_probability])
def test_a_line_without_counted_tokens_scores_zero(score):
    assert score(torch.full((1, 3), 5.0), torch.zeros(1, 3, dtype=torch.bool)).tolist() == [0]


def test_what_is_not_counted_has_no_influence_on_the_loss_and_no_gradient():
    logits = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    replaced = torch.rand(2, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    loss = replaced_token_loss(logits, replaced, COUNTED)
    (slope,) = torch.autograd.grad(loss, logits)
    assert torch.equal(slope != 0, COUNTED)
    assert torch.equal(replaced_token_loss(logits, replaced ^ ~COUNTED, COUNTED), loss)


def test_the_order_of_lines_does_not_matter():
    logits = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    replaced = logits > 0.3
    flipped = replaced_token_loss(logits.flip(0), replaced.flip(0), COUNTED.flip(0))
    torch.testing.assert_close(flipped, replaced_token_loss(logits, replaced, COUNTED), rtol=1e-14, atol=0)


def test_gradients():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 6, dtype=torch.float64, generator=generator).requires_grad_()
    replaced = torch.rand(2, 6, generator=generator) < 0.5
    assert torch.autograd.gradcheck(lambda x: replaced_token_loss(x, replaced, COUNTED), logits)
    assert torch.autograd.gradcheck(lambda x: line_score(x, COUNTED), logits)
    assert torch.autograd.gradcheck(lambda x: line_probability(x, COUNTED), logits)
    assert torch.autograd.gradcheck(lambda x: masked_token_loss(x, torch.tensor([3, 5])), logits)


@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_extreme_logits_stay_finite(extreme: float):
    logits = torch.full((2, 6), extreme)
    assert replaced_token_loss(logits, logits < 0, COUNTED).isfinite()
    assert line_score(logits, COUNTED).tolist() == [max(extreme, 0)] * 2
    assert masked_token_loss(logits, torch.tensor([0, 1])).isfinite()


def test_masked_are_counted_tokens_in_the_share_asked_for():
    torch.manual_seed(0)
    counted = torch.zeros(2000, 60, dtype=torch.bool)
    counted[:, 1:51] = True
    masked = masked_positions(counted, 0.15)
    assert not (masked & ~counted).any()
    assert masked.sum() / counted.sum() == pytest.approx(0.15, abs=0.004)  # 3.5 standard errors
    assert masked[:, 1:51].float().mean(0).std() < 0.02  # no place is preferred


def test_at_least_one_token_of_a_line_is_masked_and_one_alone_where_the_share_is_tiny():
    torch.manual_seed(0)
    counted = torch.zeros(3000, 5, dtype=torch.bool)
    counted[:, 1:4] = True
    masked = masked_positions(counted, 1e-9)
    assert (masked.sum(1) == 1).all()
    assert masked[:, 1:4].float().mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


def test_a_share_of_one_masks_all_and_nothing_counted_masks_nothing():
    assert torch.equal(masked_positions(COUNTED, 1.0), COUNTED)
    assert not masked_positions(torch.zeros(3, 4, dtype=torch.bool), 0.5).any()


def test_masks_follow_the_seed():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(masked_positions(torch.ones(8, 20, dtype=torch.bool), 0.3))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_fill_greedy_takes_the_most_probable_and_has_no_gradient():
    logits = double([0.1, 3, 1], [2, 0, 1]).requires_grad_()
    filled = fill(logits, greedy=True)
    assert filled.tolist() == [1, 0] and not filled.requires_grad


def test_fill_draws_from_the_distribution():
    torch.manual_seed(0)
    drawn = fill(torch.tensor([0.1, 0.3, 0.6]).log().expand(20_000, -1), greedy=False)
    assert (drawn.bincount() / len(drawn)).tolist() == pytest.approx([0.1, 0.3, 0.6], abs=0.012)  # 3.5 standard errors
