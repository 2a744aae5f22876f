"""CRISP: which latents are chosen, and how far they are pushed."""

from typing import Any

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm.base import read_tokens
from lit_unlearn.methods.llm.crisp import Crisp, salient_latents
from tests import llm_data
from tests.methods.llm.training import problem, ready, train


@pytest.fixture(scope="module")
def data():
    return llm_data.small_unlearning()


def test_salient_latents_by_hand():
    forget_share, retain_share = torch.tensor([0.2, 0.6, 0.9, 0.5, 0.0]), torch.tensor([0.1, 0.3, 0.1, 0.0, 0.0])
    forget_mean, retain_mean = torch.tensor([1.0, 4.0, 2.0, 1.0, 0.0]), torch.tensor([0.1, 1.0, 1.0, 0.1, 0.0])
    # differences .1, .3, .8, .5, 0; ratios 10, 4, 2, 10, and 0 for the latent that never fires

    def chosen(k: int, min_ratio: float) -> list[int]:
        found = salient_latents(forget_share, retain_share, forget_mean, retain_mean, k, min_ratio)
        return found.nonzero().flatten().tolist()

    assert chosen(k=2, min_ratio=3) == [1, 3]
    assert chosen(k=9, min_ratio=3) == [0, 1, 3]
    assert chosen(k=2, min_ratio=0) == [2, 3]


def crisp(**values: Any) -> Crisp:
    return Crisp(problem(), **{"min_ratio": 0.0, "learning_rate": 1e-2} | values)


def test_the_loss_is_that_of_latents_that_were_on(data):
    method = ready(crisp(k=3, boost=2.0), data)
    batch, sae = data.pools[(torch.arange(6), torch.arange(4))], method.sae
    chosen = method.salient.nonzero().flatten().tolist()
    assert len(chosen) == 3
    with torch.no_grad():
        states = method.states(batch.forget.tokens)
        terms = []
        for row, read in zip(states, read_tokens(batch.forget), strict=True):
            for h in row[read]:
                u, z = sae.pre(h), sae.encode(h)
                terms += [(u[j] + method.offset).relu() for j in chosen if z[j] > 0]
        assert method.forget_loss(batch).item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


def test_the_offset_is_the_boosted_mean_where_the_latents_are_on(data):
    method, pool = ready(crisp(k=4, boost=2.0), data), data.pools.forget
    batch = pool.batch(torch.arange(len(pool)))
    with torch.no_grad():
        states = method.states(batch.tokens)[read_tokens(batch)]
        u, on = method.sae.pre(states)[:, method.salient], method.sae.encode(states)[:, method.salient] > 0
    assert method.offset.item() == pytest.approx(2.0 * u[on].mean().abs().item(), rel=1e-4)


def test_training_switches_the_latents_off_on_the_targets(data):
    method = ready(crisp(k=3, boost=0.5), data)
    pool = data.pools.forget
    batch = pool.batch(torch.arange(len(pool)))

    def on() -> float:
        with torch.no_grad():
            return float(
                (method.sae.encode(method.states(batch.tokens)[read_tokens(batch)])[:, method.salient] > 0).sum()
            )

    start = on()
    train(method, data, steps=20)
    assert on() < 0.5 * start


def test_a_batch_in_which_none_was_on_has_a_loss_of_zero(data):
    method = ready(crisp(), data)
    method.salient.fill_(False)
    loss = method.forget_loss(data.pools[(torch.arange(3), torch.arange(3))])
    loss.backward()
    assert loss.item() == 0.0


def test_no_latent_of_the_targets_alone_is_refused_with_the_best_ratio(data):
    with pytest.raises(UserError, match=r"method.min_ratio=1000.0: no latent .* highest ratio is \d"):
        ready(crisp(min_ratio=1000.0), data)


def test_an_autoencoder_of_another_block_is_refused():
    with pytest.raises(UserError, match="model.layer=1"):
        Crisp(problem(layer=1))
