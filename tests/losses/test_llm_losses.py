"""What every loss on a language model's predictions must be and must not depend on."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses import forgetting, preference, retaining
from lit_unlearn.losses.tokens import IGNORED
from tests.losses.llm_losses import LOSSES, Case, Problem, naive, predicting, problem

every = pytest.mark.parametrize("name", LOSSES)


def slope(case: Case, p: Problem) -> tuple[Tensor, Tensor]:
    """The loss and its gradient with respect to the logits."""
    x = p.logits.clone().requires_grad_()
    loss = case.loss(p.at(x))
    return loss.detach(), torch.autograd.grad(loss, x)[0]


@every
@pytest.mark.parametrize("vocabulary", [6, 128])
def test_is_what_a_loop_gives(name: str, vocabulary: int):
    """With 128 tokens -100 is an index like any other: used as one, it would go unnoticed."""
    p = problem(vocabulary)
    loss = LOSSES[name].loss(p)
    assert loss.shape == ()
    torch.testing.assert_close(loss, naive(LOSSES[name], p)[0], rtol=1e-12, atol=1e-14)


@every
def test_what_is_masked_has_no_influence_and_no_gradient(name: str):
    """Prompts, padding, and the prediction after the answer; off by one in the labels would show here too."""
    p, read = problem(), predicting(problem())[..., None]
    loss, gradient = slope(LOSSES[name], p)
    without = Problem(*(x.masked_fill(~read, torch.nan) for x in p[:2]), p.labels)
    loss_without, gradient_without = slope(LOSSES[name], without)
    assert torch.equal(loss, loss_without) and torch.equal(gradient, gradient_without)
    reads = gradient.ne(0).any(-1)
    assert not (reads & ~predicting(p)).any() and reads.any()


@every
@pytest.mark.parametrize("pad", [(0, 3), (2, 0)])
def test_padding_has_no_influence(name: str, pad: tuple[int, int]):
    p = problem()
    p.labels[:, 0] = IGNORED  # the label of a first token says nothing; after padding on the left it would
    case, padded = LOSSES[name], F.pad(p.labels, pad, value=IGNORED)
    wider = Problem(*(F.pad(x, (0, 0, *pad), value=7.0) for x in p[:2]), padded)
    torch.testing.assert_close(case.loss(wider), case.loss(problem()), rtol=1e-13, atol=0)


@every
def test_a_batch_is_the_mean_of_its_rows(name: str):
    p, case = problem(), LOSSES[name]
    counts = naive(case, p)[1]
    parts = [case.loss(p.rows(slice(i, i + 1))) * count for i, count in enumerate(counts) if count]
    torch.testing.assert_close(sum(parts) / sum(counts), case.loss(p), rtol=1e-13, atol=0)


@every
def test_gradient(name: str):
    """Where a factor is taken as constant, against the loop with that factor kept: test_forgetting."""
    case, p = LOSSES[name], problem()
    check = torch.autograd.gradcheck(lambda x: case.loss(p.at(x)), p.logits.requires_grad_(), raise_exception=False)
    assert check == (not case.weighted)


@every
def test_a_penalty_on_the_gradient_has_a_gradient(name: str):
    p = problem()
    x = p.logits.requires_grad_()
    (gradient,) = torch.autograd.grad(LOSSES[name].loss(p), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.norm(), x)
    assert second.isfinite().all() and second.any()


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_finite_and_in_float32(name: str, dtype: torch.dtype, scale: float):
    p = problem()
    rounded = Problem(*(scale * x.to(dtype) for x in p[:2]), p.labels)
    loss, gradient = slope(LOSSES[name], rounded)
    assert loss.dtype == torch.float32 and gradient.dtype == dtype
    assert loss.isfinite() and gradient.isfinite().all()
    wide = Problem(*(x.double() for x in rounded[:2]), p.labels)  # the loss itself rounds no more than float32 does
    torch.testing.assert_close(loss.double(), LOSSES[name].loss(wide), rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", [name for name, case in LOSSES.items() if not case.on_states])
def test_probabilities_are_what_counts(name: str):
    """A constant added to the logits changes nothing; it does where raw logits stand for log-probabilities."""
    case, p = LOSSES[name], problem()
    shifted = p.at(p.logits + torch.randn(p.labels.shape, generator=torch.Generator().manual_seed(3))[..., None])
    torch.testing.assert_close(case.loss(shifted), case.loss(p), rtol=1e-12, atol=1e-12)


@every
def test_an_empty_answer_is_an_error(name: str):
    p = problem()
    with pytest.raises(ValueError, match="no labelled token|without a labelled token|no counted position"):
        LOSSES[name].loss(p._replace(labels=torch.full_like(p.labels, IGNORED)))


def test_every_loss_is_in_the_table():
    defined = [  # one that is missing escapes the tests above
        function
        for module in (forgetting, preference, retaining)
        for function, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and function not in ("control_vector", "Divergence")
    ]
    assert [function for function in defined if not any(key.startswith(function) for key in LOSSES)] == []
