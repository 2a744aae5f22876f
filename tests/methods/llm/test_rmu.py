"""RMU: which states are steered where to, and that nothing beyond the block is computed."""

import pytest
import torch

from datamodules.llm.batches import ENTITY_ABSENT, IGNORED
from lit_unlearn.methods.llm.rmu import Rmu
from tests import llm_data
from tests.methods.llm.training import problem, train


@pytest.fixture(scope="module")
def data():
    return llm_data.small_unlearning()


def test_the_direction_is_of_the_seed_and_stays(data):
    first, again, other = (Rmu(problem(), scale=3.0, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.control, again.control) and not torch.equal(first.control, other.control)
    assert first.control.norm().item() == pytest.approx(3.0, rel=1e-6)
    train(again, data, steps=2)
    assert torch.equal(again.control, first.control) and "control" in again.state_dict()


@pytest.mark.parametrize("steered", ["answer", "entity"])
def test_the_steered_states(steered, data):
    method, batch = Rmu(problem(), steered=steered), data.pools[(torch.arange(0, 100, 9), torch.arange(4))]
    entity_end = batch.forget.entity_end.clone()
    entity_end[3] = ENTITY_ABSENT
    items, distances = batch.forget._replace(entity_end=entity_end), []
    with torch.no_grad():
        states = method.model(items.tokens, output_hidden_states=True).hidden_states[llm_data.LAYER + 1]
        for row in range(len(items.tokens)):
            last = int((items.labels[row] != IGNORED).nonzero().max())
            entity = items.entity_end[row] if items.entity_end[row] >= 0 else items.prompt_end[row]
            where = range(int(items.prompt_end[row]), last) if steered == "answer" else [int(entity)]
            distances += [(states[row, t] - method.control).square().mean() for t in where]
        expected = torch.stack(distances).mean()
        found = method.forget_loss(batch._replace(forget=items))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_nothing_beyond_the_block_is_computed_or_trained(data):
    method = Rmu(problem(), retain={"hidden_mse": 1.0})
    beyond = [*method.model.model.layers[llm_data.LAYER + 1 :], method.model.model.norm, method.model.lm_head]
    for module in beyond:
        module.register_forward_hook(lambda module, given, out: pytest.fail(f"{type(module).__name__} was run"))
    train(method, data, steps=1)
    assert not any(weight.requires_grad for module in beyond for weight in module.parameters())


def test_the_last_block_can_be_moved(data):
    method = Rmu(problem(), last_block=1, retain={"nll": 1.0})
    assert any(weight.requires_grad for weight in method.model.model.layers[1].parameters())
