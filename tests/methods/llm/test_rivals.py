"""Every rival: a real step lowers its loss and changes only what it may; runs that were killed end alike; details."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from datamodules.llm.batches import IGNORED
from lit_unlearn.errors import UserError
from lit_unlearn.losses import forgetting, preference
from lit_unlearn.losses.tokens import answer_lengths, sequence_log_probs
from lit_unlearn.methods.llm.base import Unlearner
from lit_unlearn.methods.llm.dpo import Dpo
from lit_unlearn.methods.llm.flat import Flat
from lit_unlearn.methods.llm.gradient_ascent import GradientAscent
from lit_unlearn.methods.llm.npo import Npo
from lit_unlearn.methods.llm.retrain import Retrain
from lit_unlearn.methods.llm.simnpo import SimNpo
from lit_unlearn.methods.llm.undial import Undial
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.reference import CachedReference
from tests import llm_data
from tests.anomaly_data import trainer
from tests.methods.llm.training import changed, copied, problem, ready, train

OTHERS = ("lm_pretraining", "sae_training", "sae_unlearning", "retrain", "concept_unlearning", "given_sentences")
OTHERS += ("generated_biographies", "refusal_tuning")
RIVALS = [name for name in llm_data.METHODS if name not in OTHERS]
VARIANTS: dict[str, dict[str, Any]] = {  # where the defaults cannot show a falling loss
    "pdu": {"dual_warm_up": 1.0},
    "crisp": {"min_ratio": 0.0, "forget_weight": 1.0},
}
FOLLOWING = ("gradient_ascent", "grad_diff", "wga", "satimp", "ce_u")
"""Judged by the likelihood of the answers: where weights or targets follow the model, the loss itself need not fall."""


@pytest.fixture(scope="module")
def data():
    """All items in each step, so that losses of successive steps compare."""
    made = llm_data.small_unlearning()
    made.batch_size, made.retain_batch_size = len(made.pools.forget), len(made.pools.retain)
    return made


@pytest.mark.parametrize("name", RIVALS)
def test_a_step_lowers_the_loss_and_changes_only_what_may_change(name, data):
    method: Any = llm_data.build_method(name, data, problem(), learning_rate=1e-3, **VARIANTS.get(name, {}))
    trained = {name for name, weight in method.named_parameters() if weight.requires_grad}
    before = copied(ready(method, data))
    losses = train(method, data, steps=2)
    after = changed(before, method.state_dict())
    assert after and after <= trained
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", RIVALS)
def test_a_step_on_the_forget_loss_alone_lowers_it(name, data):
    method: Any = llm_data.build_method(name, data, problem(), **VARIANTS.get(name, {}))
    ready(method, data)
    batch = data.pools[(torch.arange(data.batch_size), torch.arange(data.retain_batch_size))]
    trained = [weight for weight in method.parameters() if weight.requires_grad]

    @torch.no_grad()
    def judged() -> Tensor:
        return method.log_probs(batch.forget).mean() if name in FOLLOWING else method.forget_loss(batch)

    start = judged()
    optimiser = torch.optim.SGD(trained, lr=1.0)
    method.forget_loss(batch).backward()
    norm = torch.nn.utils.clip_grad_norm_(trained, 0.01)
    optimiser.step()
    assert norm > 1e-6
    assert judged() < start


@pytest.mark.parametrize("divergence", ["kl", "jensen_shannon", "pearson"])
def test_flat_of_every_divergence(divergence, data):
    losses = train(Flat(problem(), divergence=divergence, learning_rate=1e-3), data, steps=2)
    assert losses[1] < losses[0]


def resumable(folder: Path) -> dict[str, Any]:
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=3, save_top_k=-1)
    return {"callbacks": [keep], "enable_checkpointing": True, "default_root_dir": folder}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pdu", {"dual_warm_up": 0.0}),
        ("rmu", {"seed": 3}),
        ("dpo", {"trained": "lora"}),
        ("ihl", {"fila": True, "lora_rank": 4}),
        ("crisp", {"min_ratio": 0.0}),
        ("npo", {"smoothing": "random", "retain": {"kl": 1.0, "hidden_mse": 1.0}}),
    ],
)
def test_a_run_that_was_killed_ends_with_the_same_bits(name, values, tmp_path: Path):
    def built() -> Any:
        return llm_data.build_method(name, small, problem(), learning_rate=1e-2, **values)

    small = llm_data.small_unlearning()
    whole, resumed = built(), built()
    train(whole, small, steps=5, **resumable(tmp_path))
    train(resumed, small, steps=5, start=str(tmp_path / "step=3.ckpt"))
    assert changed(copied(whole), resumed.state_dict()) == set()
    if whole.reference is not None:  # of the untouched model, not of the checkpoint's
        assert equal(whole.reference.tables, resumed.reference.tables)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, Tensor) else all(equal(x, y) for x, y in zip(a, b, strict=True))


def test_npo_and_dpo_start_at_their_value_at_the_untouched_model(data):
    batch = data.pools[(torch.arange(10), torch.arange(4))]
    for method in (Npo(problem(), beta=0.5), Dpo(problem(), beta=0.5)):
        assert ready(method, data).forget_loss(batch).item() == pytest.approx(
            4 * torch.tensor(2.0).log().item(), rel=1e-5
        )


def test_rivals_are_their_losses_of_the_right_texts(data):
    """Against the pure losses of log-probabilities taken here, after the model has moved from the untouched one."""
    batch = data.pools[(torch.arange(0, 100, 10), torch.arange(4))]
    untouched = load_causal_lm(problem()["path"])

    def log_probs(model: Any, items: Any) -> Tensor:
        return sequence_log_probs(model(items.tokens).logits, items.labels)

    def of(method: Unlearner) -> tuple[Tensor, list[Tensor]]:
        ready(method, data)
        moved(method)
        with torch.no_grad():
            asked = [log_probs(m, x) for m in (method.model, untouched) for x in (batch.refusal, batch.forget)]
            return method.forget_loss(batch), asked

    found, (_, new, _, old) = of(Npo(problem(), beta=0.3))
    torch.testing.assert_close(found, preference.npo(new, old, 0.3))
    found, (new_refusal, new, old_refusal, old) = of(Dpo(problem(), beta=0.3))
    torch.testing.assert_close(found, preference.dpo(new_refusal, new, old_refusal, old, 0.3))
    found, (_, new, _, _) = of(SimNpo(problem(), beta=2.0, delta=0.1))
    torch.testing.assert_close(found, preference.simnpo(new, answer_lengths(batch.forget.labels), 2.0, 0.1))
    found, (_, new, _, _) = of(GradientAscent(problem()))
    torch.testing.assert_close(found, new.sum() / (batch.forget.labels != IGNORED).sum())


def moved(method: Unlearner) -> None:
    with torch.no_grad():
        for weight in method.parameters():
            if weight.requires_grad:
                weight += 0.05


def test_undial_distils_the_untouched_models_distributions(data):
    batch, untouched = data.pools[(torch.arange(10), torch.arange(4))], load_causal_lm(problem()["path"])
    method = ready(Undial(problem(), beta=3.0), data)
    moved(method)
    with torch.no_grad():
        logits, own = (model(batch.forget.tokens).logits for model in (untouched, method.model))
        expected = forgetting.undial(
            own, batch.forget.labels, logits[:, :-1][batch.forget.labels[:, 1:] != IGNORED], 3.0
        )
        torch.testing.assert_close(method.forget_loss(batch), expected, rtol=1e-4, atol=1e-5)
    still = ready(Undial(problem(), beta=0.0), data)
    gradients = torch.autograd.grad(still.forget_loss(batch), [w for w in still.parameters() if w.requires_grad])
    assert max(float(g.abs().max()) for g in gradients) < 1e-5


@pytest.mark.parametrize(
    "name", ["gradient_ascent", "grad_diff", "simnpo", "wga", "satimp", "ce_u", "pdu", "flat", "ihl"]
)
def test_no_reference_is_made_for_a_method_that_does_not_use_one(name, data):
    method: Any = llm_data.build_method(name, data, problem())
    assert ready(method, data).reference is None


def test_retrain_is_the_reference_after_one_step(data):
    method = Retrain(problem())
    fit = trainer(max_epochs=3, limit_val_batches=0)
    fit.fit(method, datamodule=llm_data.small_unlearning())
    assert fit.global_step == 1
    reference = load_causal_lm(problem()["reference"]).state_dict()
    assert all(torch.equal(weight, reference[name]) for name, weight in method.unlearned().state_dict().items())
    assert method.problem["path"] == problem()["path"]  # what it is compared with
    method.check(data)  # it knows nothing, and need not


def test_retrain_without_a_reference_is_refused():
    with pytest.raises(UserError, match="model.reference: null"):
        Retrain(problem(reference=None))


def test_what_needs_an_autoencoder_says_so(data):
    with pytest.raises(UserError, match="model.sae: null"):
        llm_data.build_method("crisp", data, problem(sae=None))


def test_the_cache_is_of_the_declared_pools(data):
    method = ready(Dpo(problem(), retain={"kl": 1.0}), data)
    assert isinstance(method.reference, CachedReference)
    expected = [("forget", "log_probs"), ("refusal", "log_probs"), ("retain", "distributions")]
    assert list(method.reference.tables) == expected
