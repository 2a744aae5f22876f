"""A language model run as far as a layer: the index of states, for every family that is known."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.networks.causal_lm import TruncatedLM, blocks, load_causal_lm, small_llama
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


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="no language model can be read there"):
        load_causal_lm(str(tmp_path))
    with pytest.raises(UserError, match=r"model.layer=3: the model has blocks 0 to 2"):
        TruncatedLM(models()["llama"], 3)
    with pytest.raises(UserError, match="not where they are looked for"):
        blocks(torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"method.hidden=20: not a multiple of twice method.heads=4"):
        small_llama(50, 20, 1, 4, 8)
