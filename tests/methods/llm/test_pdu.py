"""PDU's multiplier: when it moves, by how much, and that it is one of the whole step."""

from typing import Any

import pytest
import torch
from lightning import Callback

from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm.pdu import Pdu
from tests import llm_data
from tests.methods.llm.training import problem, train


class Multipliers(Callback):
    """Keeps the multiplier after, and the retained answers' losses of, each batch."""

    def __init__(self) -> None:
        self.after: list[float] = []
        self.nll: list[float] = []

    def on_train_batch_end(self, fit, method: Any, outputs, batch, batch_idx: int) -> None:
        self.after.append(method.multiplier.item())


def run(limit: float, steps: int = 3, **values: Any) -> tuple[Pdu, Multipliers]:
    accumulated = values.pop("accumulate_grad_batches", 1)
    settings = {"dual_warm_up": 0.0, "retain": {"nll": 1.0}, "learning_rate": 1e-8}
    method, seen = Pdu(problem(), limit, **settings | values), Multipliers()
    plain = method.retain_losses

    def noted(batch: Any) -> Any:
        with torch.no_grad():
            seen.nll.append(super(Pdu, method).retain_losses(batch)["nll"].item())
        return plain(batch)

    method.retain_losses = noted  # type: ignore[method-assign]
    train(method, llm_data.small_unlearning(), steps, callbacks=[seen], accumulate_grad_batches=accumulated)
    return method, seen


def test_it_follows_what_exceeds_the_limit():
    _, seen = run(limit=0.2, dual_step=0.5)
    expected = 1.0
    for nll, after in zip(seen.nll, seen.after, strict=True):
        expected += 0.5 * (nll - 0.2)
        assert nll > 0.2 and after == pytest.approx(expected, rel=1e-5)


def test_it_falls_below_the_limit_and_not_below_zero():
    _, seen = run(limit=2.0, dual_step=0.5)
    assert 1.0 > seen.after[0] > seen.after[1] == seen.after[2] == 0.0


def test_it_moves_once_an_optimiser_step_by_the_mean_of_its_batches():
    _, seen = run(limit=0.2, steps=2, accumulate_grad_batches=3)
    assert len(seen.after) == 6 and seen.after[0] == seen.after[1] == 1.0
    first = 1.0 + sum(seen.nll[:3]) / 3 - 0.2
    assert seen.after[2:5] == pytest.approx([first] * 3, rel=1e-5)
    assert seen.after[5] == pytest.approx(first + sum(seen.nll[3:]) / 3 - 0.2, rel=1e-5)


def test_it_waits_for_the_warm_up():
    _, seen = run(limit=0.2, steps=4, dual_warm_up=0.5)
    assert seen.after[:2] == [1.0, 1.0] and seen.after[2] > 1.0


def test_it_weighs_the_retained_answers_in_the_objective():
    method, batch = (
        Pdu(problem(), 0.3, retain={"nll": 2.0}),
        llm_data.small_unlearning().pools[(torch.arange(4), torch.arange(4))],
    )
    with torch.no_grad():
        forget = method.forget_loss(batch)
        plain = method.training_step(batch, 0) - forget
        method.multiplier.fill_(3.0)
        assert (method.training_step(batch, 0) - forget).item() == pytest.approx(3 * plain.item(), rel=1e-5)


def test_without_what_it_limits_it_is_refused():
    with pytest.raises(UserError, match="method.retain: has no nll.*method.retain.nll=1"):
        Pdu(problem(), 0.3, retain={"kl": 1.0})
