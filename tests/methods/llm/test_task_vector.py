"""Task vectors: theta_0 - scale (theta - theta_0)."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_unlearn.losses import retaining
from lit_unlearn.methods.llm.task_vector import TaskVector
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.trained_parts import merge_lora
from tests import llm_data
from tests.methods.llm.training import problem, train


@pytest.fixture(scope="module")
def data():
    return llm_data.small_unlearning()


@pytest.mark.parametrize("trained", ["blocks", "lora"])
def test_the_difference_is_subtracted(trained, data, tmp_path: Path):
    method = TaskVector(problem(), scale=0.5, trained=trained, learning_rate=1e-2)
    train(method, data, steps=5)
    untouched, tuned = (
        dict(m.named_parameters()) for m in (load_causal_lm(problem()["path"]), merge_lora(method.model))
    )
    edited = dict(method.unlearned().named_parameters())
    assert list(edited) == list(untouched)
    for name, weight in edited.items():
        torch.testing.assert_close(weight, untouched[name] - 0.5 * (tuned[name] - untouched[name]))
    changed = [name for name in edited if not torch.equal(edited[name], untouched[name])]
    assert changed and all(".layers." in name for name in changed)
    method.export(tmp_path, data)
    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(weight, edited[name]) for name, weight in read.named_parameters())


def test_scale_zero_is_the_untouched_model(data):
    method = TaskVector(problem(), scale=0.0, learning_rate=1e-2)
    train(method, data, steps=2)
    untouched = load_causal_lm(problem()["path"]).state_dict()
    assert all(torch.equal(weight, untouched[name]) for name, weight in method.unlearned().state_dict().items())


def test_learning_the_targets_and_subtracting_it_forgets_them(data):
    method = TaskVector(problem(), learning_rate=3e-3)
    pool = data.pools.forget
    batch = pool.batch(torch.arange(len(pool)))
    untouched = load_causal_lm(problem()["path"])
    whole = llm_data.small_unlearning(batch_size=len(pool))
    train(method, whole, steps=20)
    with torch.no_grad():
        tuned, before, after = (
            retaining.nll(model(batch.tokens).logits, batch.labels)
            for model in (method.model, untouched, method.unlearned())
        )
    assert tuned < before - 0.005 and after > before + 0.005


def test_learning_curves_are_of_the_edited_model(data):
    method, seen = TaskVector(problem(), learning_rate=1e-2), []
    measure = method.validation_step

    def noted(batch, batch_idx: int) -> None:
        seen.append(method.model)
        measure(batch, batch_idx)

    method.validation_step = noted  # type: ignore[method-assign]
    tuned = method.model
    losses = train(method, data, steps=2, limit_val_batches=1.0, val_check_interval=1)
    assert len(losses) == 2 and seen and all(model is not tuned for model in seen)
    assert method.model is tuned and not any("tuned" in name for name in method.state_dict())
