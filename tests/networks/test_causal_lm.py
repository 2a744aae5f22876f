"""A language model run as far as a layer: the index of states, for every family that is known."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.errors import UserError
from lit_unlearn.networks.causal_lm import (
    TruncatedLM,
    block_outputs,
    blocks,
    load_causal_lm,
    logits_from,
    rows_at_once,
    small_llama,
)
from tests import llm_data


def models() -> dict[str, Any]:
    import transformers as t

    llama_like = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    llama_like |= {"num_attention_heads": 2, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
    gemma = t.Gemma3TextConfig(**llama_like, num_key_value_heads=1, head_dim=8)
    gpt2 = t.GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0)
    return {
        "llama": t.LlamaForCausalLM(t.LlamaConfig(**llama_like)),
        "gemma": t.Gemma3ForCausalLM(gemma),
        "gpt2": t.GPT2LMHeadModel(gpt2),
        "pythia": t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**llama_like)),
    }


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2", "pythia"])
def test_truncated_states_are_those_of_the_whole_model(family):
    model = models()[family].eval()
    tokens = torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(0))
    names = set(model.state_dict())
    states = model(tokens, output_hidden_states=True).hidden_states
    for layer in (0, 1):  # the last entry of hidden_states is after the final norm
        assert torch.equal(TruncatedLM(model, layer)(tokens), states[layer + 1]), layer
    assert len(blocks(model)) == 3
    assert set(model.state_dict()) == names


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2", "pythia"])
def test_states_are_had_in_passing(family):
    model = models()[family].eval()
    tokens = torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(0))
    with block_outputs(model, [0, 2]) as states:
        model(tokens)
    assert set(states) == {0, 2}
    for layer in states:
        torch.testing.assert_close(states[layer], TruncatedLM(model, layer)(tokens))
    model(49 - tokens)
    assert torch.equal(states[0], TruncatedLM(model, 0)(tokens))  # what comes later is not looked at


def test_gradients_reach_the_blocks_up_to_the_layer_and_no_further():
    model = models()["llama"]
    TruncatedLM(model, 1)(torch.ones(1, 4, dtype=torch.long)).sum().backward()
    reached = [any(p.grad is not None for p in block.parameters()) for block in blocks(model)]
    assert reached == [True, True, False]
    assert model.model.norm.weight.grad is None


def test_packed_documents_see_nothing_of_each_other():
    data = llm_data.small_text()
    model = llm_data.small_model(data.vocab_size)
    batch = data.train[(torch.arange(3),)]
    packed = model(batch.tokens, position_ids=batch.positions, use_cache=False).logits  # a cache knows no documents
    starts = [*torch.where(batch.positions[0] == 0)[0].tolist(), batch.tokens.shape[1]]
    assert len(starts) > 3
    for start, end in pairwise(starts):
        alone = model(batch.tokens[:1, start:end]).logits
        torch.testing.assert_close(packed[:1, start:end], alone, atol=1e-5, rtol=1e-4)


def test_sliding_attention_and_truncation_go_together():
    """A block of Gemma 3 attends to a window or to everything, which a list in its configuration says."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "head_dim": 8}
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    config = Gemma3TextConfig(**sizes, num_key_value_heads=1, num_hidden_layers=3, layer_types=kinds, sliding_window=3)
    model = Gemma3ForCausalLM(config).eval()
    tokens = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(0))
    states = model(tokens, output_hidden_states=True).hidden_states
    for layer in (0, 1):
        assert torch.equal(TruncatedLM(model, layer)(tokens), states[layer + 1]), layer
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 50
    first, second = (TruncatedLM(model, layer)(changed) - states[layer + 1] for layer in (0, 1))
    assert not first[:, 3:].any() and second[:, 3:].any()  # beyond the window, then through the block that sees all


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2", "pythia"])
def test_logits_from_a_column_are_those_of_all(family):
    model = models()[family].eval()
    tokens = torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(logits_from(model, tokens, 4), model(tokens).logits[:, 4:])
        assert logits_from(model, tokens, 0).shape == (2, 7, 50)


@pytest.mark.parametrize(("vocab_size", "rows"), [(100, 256), (2**17, 64), (2**18, 32), (2**26, 1)])
def test_what_goes_at_once_fits_into_memory(vocab_size, rows):
    assert rows_at_once(16, vocab_size, 256) == rows


def test_gguf_without_its_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.utils.is_gguf_available", lambda: False)
    with pytest.raises(
        UserError, match=r"^model\.path=.*m\.gguf: GGUF is read with the package gguf, .*pip install gguf"
    ):
        load_causal_lm(str(tmp_path / "m.gguf"))
    with pytest.raises(UserError, match=r"^data\.tokenizer=.*m\.gguf: GGUF is read with the package gguf"):
        load_tokenizer(str(tmp_path / "m.gguf"))


def test_a_model_from_gguf_is_one_like_others(tmp_path):
    """Read, changed, saved and read again, also where its weights were quantised."""
    gguf = pytest.importorskip("gguf")
    writer, sizes = gguf.GGUFWriter(tmp_path / "m.gguf", "llama"), {"embd": 32, "ff": 64, "vocab": 40}
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(sizes["embd"])
    writer.add_feed_forward_length(sizes["ff"])
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(sizes["vocab"])
    shapes = {"token_embd": ("vocab", "embd"), "output_norm": ("embd",), "output": ("vocab", "embd")}
    shapes |= {f"blk.0.{name}": ("embd", "embd") for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {"blk.0.attn_norm": ("embd",), "blk.0.ffn_norm": ("embd",), "blk.0.ffn_gate": ("ff", "embd")}
    shapes |= {"blk.0.ffn_up": ("ff", "embd"), "blk.0.ffn_down": ("embd", "ff")}
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        weight = rng.normal(size=[sizes[n] for n in shape]).astype(np.float32)
        if len(shape) == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(f"{name}.weight", gguf.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    model = load_causal_lm(str(tmp_path / "m.gguf"))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    with torch.no_grad():
        blocks(model)[0].mlp.up_proj.weight.mul_(2)
    model.save_pretrained(tmp_path / "saved")
    again = load_causal_lm(str(tmp_path / "saved"))
    tokens = torch.arange(10)[None]
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="no language model can be read there"):
        load_causal_lm(str(tmp_path))
    with pytest.raises(UserError, match=r"model.layer=3: the model has blocks 0 to 2"):
        TruncatedLM(models()["llama"], 3)
    with pytest.raises(UserError, match="not where they are looked for"):
        blocks(torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"method.hidden=20: not a multiple of twice method.heads=4"):
        small_llama(50, 20, 1, 4, 8)
