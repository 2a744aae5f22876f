"""FILA: equations by hand, an output that does not change, and runs that can be loaded again."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm.ihl import Ihl
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.fila import LEAST, initialise_lora, split, squared_gradients
from lit_unlearn.networks.trained_parts import train_only
from tests import llm_data
from tests.methods.llm.training import changed, copied, problem, ready, train


@pytest.fixture(scope="module")
def data():
    return llm_data.small_unlearning()


def ihl(**values) -> Ihl:
    return Ihl(problem(), **{"fila": True, "trained": "lora", "lora_rank": 4, "learning_rate": 1e-2} | values)


def test_the_best_weighted_approximation_of_a_rank():
    """diag(w) (W - B A) has the smallest norm of all B A of the rank: the singular values that are left out."""
    generator = torch.Generator().manual_seed(0)
    weight, importance = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    importance = importance.square()
    b, a = split(weight, importance, 2)
    row = importance.sum(1).sqrt()[:, None]
    left = torch.linalg.svdvals(row * weight)[2:]
    torch.testing.assert_close((row * (weight - b @ a)).norm(), left.norm())
    full = split(weight, importance, 5)
    torch.testing.assert_close(full[0] @ full[1], weight)
    balance = split(weight, 1e-12 * importance, 2)  # gradients may be small: the two factors do not see it
    torch.testing.assert_close(balance, (b, a))


def test_rows_without_a_gradient_stay_finite():
    weight, importance = torch.randn(4, 3), torch.zeros(4, 3)
    b, a = split(weight, importance, 3)
    torch.testing.assert_close(b @ a, weight, rtol=1e-4, atol=1e-5)
    importance[0] = 1.0
    b, a = split(weight, importance, 3)
    assert b.isfinite().all() and b.abs().max() < 10 / LEAST
    torch.testing.assert_close(b @ a, weight, rtol=1e-3, atol=1e-4)


def test_squared_gradients_are_weighted_by_tokens(data):
    model = load_causal_lm(problem()["path"]).requires_grad_(False)
    weight, pool = model.model.layers[0].mlp.down_proj.weight, data.pools.retain
    (found,) = squared_gradients(model, [weight], pool, batch_size=30)
    assert not weight.requires_grad
    weight.requires_grad_(True)
    total, tokens = torch.zeros_like(weight), 0
    for rows in torch.arange(len(pool)).split(30):
        batch = pool.batch(rows)
        log_probs = model(batch.tokens).logits[:, :-1].log_softmax(-1)
        labels = batch.labels[:, 1:]
        nll = -log_probs[labels >= 0].gather(1, labels[labels >= 0][:, None])
        (gradient,) = torch.autograd.grad(nll.mean(), weight)
        total += len(nll) * gradient**2
        tokens += len(nll)
    torch.testing.assert_close(found, total / tokens, rtol=1e-3, atol=1e-9)


def test_the_output_is_the_same_and_the_additions_are_not_zero(data):
    method = ihl()
    batch = data.pools.forget.batch(torch.arange(12))
    before, start = method.logits(batch.tokens), copied(method)
    ready(method, data)
    torch.testing.assert_close(method.logits(batch.tokens), before, rtol=0, atol=1e-5 * before.abs().max().item())
    after = method.state_dict()
    moved = changed(start, after)
    assert moved == {name for name in after if "lora_" in name or "base_layer" in name}
    trained = {name for name, weight in method.named_parameters() if weight.requires_grad}
    assert trained == {name for name in after if "lora_" in name}
    assert all(after[name].abs().max() > 1e-3 for name in trained)


def test_weights_kept_the_other_way_round_are_turned():
    """GPT-2's layers hold (in, out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    text = llm_data.small_unlearning()
    config = GPT2Config(vocab_size=len(text.tokenizer), n_embd=8, n_layer=1, n_head=2, n_positions=64)
    model = GPT2LMHeadModel(config).eval()
    tokens = text.pools.forget.batch(torch.arange(4)).tokens
    before = model(tokens).logits
    train_only(model, "attn.c_attn|c_fc", 0, 2, 4.0)
    initialise_lora(model, text.pools.forget, text.pools.retain)
    torch.testing.assert_close(model(tokens).logits, before, rtol=1e-4, atol=1e-5)
    assert model.transformer.h[0].attn.c_attn.lora_B["default"].weight.abs().max() > 1e-3


def test_a_checkpoint_and_an_export_hold_the_changed_weights(data, tmp_path: Path):
    method = ihl()
    train(method, data, steps=2)
    batch = data.pools.forget.batch(torch.arange(12))
    logits = method.logits(batch.tokens)
    again = ihl()
    assert (again.logits(batch.tokens) - logits).abs().max() > 1e-3
    again.load_state_dict(method.state_dict())  # as `checkpoint.load_method`: without the pools
    assert torch.equal(again.logits(batch.tokens), logits)
    method.export(tmp_path, data)
    torch.testing.assert_close(
        AutoModelForCausalLM.from_pretrained(tmp_path)(batch.tokens).logits, logits, rtol=1e-4, atol=1e-4
    )


def test_what_cannot_be_initialised_is_refused(data):
    with pytest.raises(UserError, match="method.fila=true: .*method.trained=lora"):
        ready(ihl(trained="blocks"), data)
    with pytest.raises(UserError, match="method.lora_rank=17: .*has no such rank"):
        ready(ihl(lora_rank=17), data)
