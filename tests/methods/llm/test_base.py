"""What unlearning methods share: retain terms, what is trained, low-rank additions, the untouched model's words."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from datamodules.llm.batches import IGNORED, AnswerBatch
from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm.base import read_tokens
from lit_unlearn.methods.llm.gradient_ascent import GradientAscent
from lit_unlearn.methods.llm.npo import Npo
from lit_unlearn.networks.causal_lm import blocks, load_causal_lm
from lit_unlearn.networks.reference import CachedReference, ResidentReference
from lit_unlearn.networks.trained_parts import merge_lora
from tests import llm_data
from tests.methods.llm.training import changed, copied, moved, problem, ready, train

ALL_TERMS = {"nll": 0.5, "kl": 2.0, "hidden_mse": 3.0, "final_mse": 4.0}


def npo(**values: Any) -> Npo:
    return Npo(problem(), **{"learning_rate": 1e-2} | values)


@pytest.fixture
def data():
    return llm_data.small_unlearning()


def rows_of(items: AnswerBatch) -> list[tuple[Tensor, range]]:
    """Each row without its padding, and where in it the states are that predict the answer."""
    ends = [int((labels != IGNORED).nonzero().max()) for labels in items.labels]
    starts = items.prompt_end.tolist()
    return [(row[: end + 1], range(start, end)) for row, start, end in zip(items.tokens, starts, ends, strict=True)]


def test_retain_terms_are_means_over_what_they_hold_row_by_row(data):
    method = npo(retain=ALL_TERMS)
    method.reference = ResidentReference(load_causal_lm(method.problem["path"]), llm_data.LAYER)
    moved(method)
    batch = data.pools.retain.batch(torch.arange(0, 60, 5))
    assert len({len(row) for row, _ in rows_of(batch)}) > 1  # there is padding
    sums: dict[str, list[Tensor]] = {term: [] for term in ALL_TERMS}
    untouched = load_causal_lm(method.problem["path"])
    with torch.no_grad():
        for row, answer in rows_of(batch):
            new, old = (m(row[None], output_hidden_states=True) for m in (method.model, untouched))
            log_p, log_p0 = (out.logits[0].log_softmax(-1) for out in (new, old))
            for t in answer:
                sums["nll"].append(-log_p[t, row[t + 1]])
                sums["kl"].append((log_p0[t].exp() * (log_p0[t] - log_p[t])).sum())
            layer = llm_data.LAYER + 1
            sums["hidden_mse"] += list((new.hidden_states[layer] - old.hidden_states[layer])[0].square().mean(-1))
        losses = method.retain_losses(batch)
    for term in ("nll", "kl", "hidden_mse"):
        assert float(losses[term]) == pytest.approx(float(torch.stack(sums[term]).mean()), rel=1e-4), term
        assert losses[term] > 1e-3


def test_the_last_blocks_states_are_held_before_the_final_norm(data):
    method = moved(ready(npo(retain={"final_mse": 1.0}), data))
    batch = data.pools.retain.batch(torch.arange(12))
    seen = []
    method.model.model.norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    method.logits(batch.tokens)
    untouched = load_causal_lm(method.problem["path"])
    untouched.model.norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    untouched(batch.tokens)
    expected = (seen[0] - seen[1])[read_tokens(batch)].square().mean()
    torch.testing.assert_close(method.retain_losses(batch)["final_mse"], expected)


@pytest.mark.parametrize(
    ("terms", "runs"),
    [(ALL_TERMS, [1, 1]), ({"kl": 1.0, "hidden_mse": 1.0}, [1, 1]), ({"hidden_mse": 1.0}, [1, 0]), ({}, [0, 0])],
)
def test_all_terms_take_one_forward_pass_that_ends_where_it_can(data, terms, runs):
    method = ready(npo(retain=terms), data)
    seen = [0] * len(blocks(method.model))
    for i, block in enumerate(blocks(method.model)):
        block.register_forward_hook(lambda module, given, output, i=i: seen.__setitem__(i, seen[i] + 1))
    method.retain_losses(data.pools.retain.batch(torch.arange(4)))
    assert seen == runs


def test_terms_against_the_untouched_model_are_zero_without_gradient_at_it(data):
    method = ready(npo(retain={"kl": 1.0, "hidden_mse": 1.0, "final_mse": 1.0}), data)
    losses = method.retain_losses(data.pools.retain.batch(torch.arange(20)))
    assert list(losses) == ["hidden_mse", "final_mse", "kl"]
    total = sum(losses.values(), torch.zeros(()))
    gradients = torch.autograd.grad(total, [w for w in method.parameters() if w.requires_grad])
    assert total.item() == pytest.approx(0, abs=1e-6)
    assert max(float(g.abs().max()) for g in gradients) < 1e-5


def test_the_objective_is_the_weighted_sum(data):
    method = moved(ready(npo(retain=ALL_TERMS, forget_weight=0.25), data))
    batch = data.pools[(torch.arange(8), torch.arange(8))]
    kept = method.retain_losses(batch.retain)
    expected = 0.25 * method.forget_loss(batch) + sum(weight * kept[term] for term, weight in ALL_TERMS.items())
    torch.testing.assert_close(method.training_step(batch, 0), expected)


def test_terms_of_weight_zero_are_not_computed(data):
    method = npo(retain={"nll": 0.0, "kl": 0.0})
    assert method.retain == {} and method.all_needs() == Npo.needs
    assert method.retain_losses(data.pools.retain.batch(torch.arange(4))) == {}


def test_what_is_read_ends_with_the_answer(data):
    batch = data.pools.retain.batch(torch.arange(30))
    lengths = data.pools.retain.lengths[:30]
    assert torch.equal(read_tokens(batch).sum(1), lengths)
    assert bool(read_tokens(batch)[:, 0].all())


def test_only_blocks_up_to_the_last_are_trained(data):
    method = npo(last_block=0)
    before = copied(method)
    train(method, data)
    after = changed(before, method.state_dict())
    assert after and all(name.startswith("model.model.layers.0.") for name in after)


def test_embeddings_and_final_norm_stay(data):
    method = npo()
    before = copied(method)
    train(method, data)
    stayed = set(before) - changed(before, method.state_dict())
    assert stayed == {"model.model.embed_tokens.weight", "model.model.norm.weight", "model.lm_head.weight"}


def test_modules_are_chosen_by_name(data):
    method = npo(modules="down_proj", last_block=1)
    before = copied(method)
    train(method, data)
    assert changed(before, method.state_dict()) == {f"model.model.layers.{i}.mlp.down_proj.weight" for i in (0, 1)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modules": "nothing"}, "method.modules='nothing': matches no parameter of blocks 0 to 1"),
        ({"modules": "embed_tokens"}, "matches no parameter"),
        ({"modules": "("}, "no regular expression"),
        ({"last_block": 2}, "method.last_block=2: the model has blocks 0 to 1"),
        ({"modules": "layernorm", "trained": "lora"}, "matches no parameter"),
    ],
)
def test_what_leaves_nothing_to_train_is_refused(values, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        npo(**values)


def test_lora_changes_nothing_at_first_and_trains_the_additions_alone(data):
    plain, method = npo(), npo(trained="lora", lora_rank=2)
    batch = data.pools.forget.batch(torch.arange(10))
    assert torch.equal(method.logits(batch.tokens), plain.logits(batch.tokens))
    before = copied(method)
    train(method, data)
    after = changed(before, method.state_dict())
    assert after and all("lora_" in name for name in after)
    assert {name for name, weight in method.named_parameters() if weight.requires_grad} == {
        name for name in before if "lora_" in name
    }
    assert method.model.model.layers[0].mlp.down_proj.lora_A["default"].weight.shape == (2, 2 * llm_data.WIDTH)


def test_lora_of_some_modules_up_to_a_block():
    method = npo(trained="lora", modules="q_proj|v_proj", last_block=0)
    adapted = {name.split(".lora_")[0] for name, _ in method.named_parameters() if "lora_" in name}
    assert adapted == {f"model.model.layers.0.self_attn.{name}_proj" for name in "qv"}


def test_the_exported_model_says_what_the_trained_one_says(data, tmp_path: Path):
    method = npo(trained="lora", learning_rate=0.1)
    batch = data.pools.forget.batch(torch.arange(10))
    untouched = method.logits(batch.tokens)
    train(method, data, steps=3)
    logits = method.logits(batch.tokens)
    assert (logits - untouched).abs().max().item() > 0.01
    method.export(tmp_path, data)
    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert set(read.state_dict()) == set(npo().model.state_dict())
    torch.testing.assert_close(read(batch.tokens).logits, logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(method.logits(batch.tokens), logits)  # the method itself is not merged
    plain = npo().model
    assert merge_lora(plain) is plain


@pytest.mark.parametrize("top", [1024, 7])
def test_the_cached_reference_says_what_the_resident_one_says(data, top, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lit_unlearn.networks.reference.TOP", top)
    model = npo().model
    pools: Any = ("forget", "refusal", "unknown", "retain")
    quantities: Any = ("log_probs", "distributions", "states", "final_states")
    needs = tuple((pool, quantity) for pool in pools for quantity in quantities)
    cached = CachedReference(model, llm_data.LAYER, data.pools, needs, batch_size=13)
    resident = ResidentReference(model, llm_data.LAYER)
    generator = torch.Generator().manual_seed(0)
    for pool in pools:
        items: Any = getattr(data.pools, pool)
        for size in (1, 9, 30):
            batch = items.batch(torch.randperm(len(items), generator=generator)[:size])
            wider = batch._replace(
                tokens=F.pad(batch.tokens, (0, 2)), labels=F.pad(batch.labels, (0, 2), value=IGNORED)
            )
            for given in (batch, wider):
                kept, asked = cached.log_probs(pool, given), resident.log_probs(pool, given)
                torch.testing.assert_close(kept, asked, rtol=1e-4, atol=1e-5)
                for quantity in ("states", "final_states"):
                    kept, asked = (getattr(source, quantity)(pool, given) for source in (cached, resident))
                    read = read_tokens(given)
                    assert kept.shape == asked.shape
                    torch.testing.assert_close(kept[read], asked[read], rtol=1e-4, atol=1e-5)
                    assert not kept[~read].any()
                (kept, which), (asked, same) = (x.distributions(pool, given) for x in (cached, resident))
                torch.testing.assert_close(kept, asked, rtol=1e-4, atol=1e-5)
                assert kept.shape[1] == min(top, len(data.tokenizer))
                if top == 7:  # of all tokens, some are as probable as others
                    assert float((which == same).float().mean()) > 0.99


def test_a_resident_reference_is_a_second_model_that_stays(data):
    method = npo(reference="resident")
    train(method, data, steps=3)
    assert isinstance(method.reference, ResidentReference)
    untouched = load_causal_lm(method.problem["path"]).state_dict()
    assert all(torch.equal(weight, untouched[name]) for name, weight in method.reference.model.state_dict().items())
    assert not any("reference" in name for name in method.state_dict())


def test_without_needs_no_reference_is_made(data):
    asking, plain = (ready(cls(problem()), data) for cls in (Npo, GradientAscent))
    assert isinstance(asking.reference, CachedReference) and list(asking.reference.tables) == [("forget", "log_probs")]
    assert plain.reference is None


def test_targets_that_the_model_does_not_know_are_refused_unless_forced(data):
    with pytest.raises(UserError, match="data.targets: the model does not know them: .*method.force=true"):
        Npo(llm_data.problem()).check(data)
    Npo(llm_data.problem(), force=True).check(data)
    npo().check(data)
