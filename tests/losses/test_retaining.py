"""Losses that keep a model as it is, by hand; test_llm_losses has what holds for all."""

from math import log

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.retaining import hidden_mse, kl, kl_top_k, nll
from lit_unlearn.losses.tokens import IGNORED, answer_logits
from tests.losses.llm_losses import LOSSES, answer, problem

P0 = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
P = [[0.25, 0.35, 0.4]]


def test_nll_by_hand():
    assert nll(*answer([[0.5, 0.5], [0.9, 0.1]], [0, 1])).item() == pytest.approx(-(log(0.5) + log(0.1)) / 2, rel=1e-14)


def test_kl_by_hand():
    value = 0.5 * log(0.5 / 0.25) + 0.3 * log(0.3 / 0.35) + 0.2 * log(0.2 / 0.4)
    assert kl(*answer(P, [2]), P0.log()).item() == pytest.approx(value, rel=1e-13)


def test_kl_top_k_by_hand():
    """Of the likeliest token and all others: (.5, .5) against (.25, .75)."""
    value = kl_top_k(*answer(P, [2]), *P0.log().topk(1)).item()
    assert value == pytest.approx(0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75), rel=1e-13)


def test_kl_top_k_grows_with_k_to_all_of_it():
    p = problem(vocabulary=12)
    reference = answer_logits(p.reference, p.labels)[0].log_softmax(-1)
    values = torch.stack([kl_top_k(p.logits, p.labels, *reference.topk(k)) for k in range(1, 12)])
    assert (values.diff() > 0).all()
    torch.testing.assert_close(values[-1], kl(p.logits, p.labels, reference))  # the last token is the only other one


def test_kl_top_k_where_the_listed_tokens_have_it_all():
    """1 - sum p0 is 0 or a rounding error above or below."""
    first = torch.tensor([30, 28.7, 28.3, -40, -40]).repeat(50, 1)
    first[:, 0] += torch.linspace(0, 2, 50)
    logits = first[:, None].repeat(1, 2, 1).requires_grad_()
    values, indices = first.log_softmax(-1).topk(3)
    left = 1 - values.exp().sum(-1)
    assert left.min() < 0 < left.max()
    loss = kl_top_k(logits, torch.tensor([[IGNORED, 0]]).expand(50, 2), values, indices)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["kl", "kl_top_k", "hidden_mse"])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_nothing_at_the_untouched_model(name: str, dtype: torch.dtype, atol: float):
    p = problem(dtype=dtype)
    x = p.reference.clone().requires_grad_()
    loss = LOSSES[name].loss(p.at(x))
    assert abs(loss.item()) < atol
    assert torch.autograd.grad(loss, x)[0].abs().max() < atol


def test_hidden_mse_counts_the_positions_it_is_given():
    hidden = torch.arange(12.0, dtype=torch.float64).reshape(1, 3, 4)
    counted = torch.tensor([[True, False, True]])
    moved: Tensor = hidden + torch.tensor([2.0, 100.0, -1.0])[:, None]
    assert hidden_mse(moved, hidden, counted).item() == pytest.approx((4 + 1) / 2, rel=1e-14)
