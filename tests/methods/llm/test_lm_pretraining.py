"""Training of a small language model: the loss, what it learns, and how it is handed on."""

import torch
from lightning import Trainer
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from datamodules.llm.batches import IGNORED
from lit_unlearn.methods.llm.lm_pretraining import LmPretraining
from tests import llm_data

SIZES = {"hidden": 16, "layers": 2, "heads": 2, "feed_forward": 32}


def test_the_loss_is_the_mean_over_the_tokens_of_documents():
    data = llm_data.small_text()
    method = LmPretraining(data.vocab_size, **SIZES)
    batch = data.train[(torch.arange(2),)]
    log_probs = method.model(batch.tokens, position_ids=batch.positions, use_cache=False).logits.log_softmax(-1)
    losses = [
        -log_probs[row, t - 1, batch.labels[row, t]]
        for row in range(2)
        for t in range(1, batch.tokens.shape[1])
        if batch.labels[row, t] != IGNORED
    ]
    torch.testing.assert_close(method.next_token_loss(batch), torch.stack(losses).mean())
    first_tokens = batch.positions == 0
    assert (batch.labels[first_tokens] == IGNORED).all()
    padding = torch.full_like(batch.labels[:, 1:], IGNORED)
    assert torch.isnan(cross_entropy(log_probs[:, :-1].flatten(0, 1), padding.flatten(), ignore_index=IGNORED))


def test_training_lowers_the_loss_and_the_export_is_the_model(tmp_path):
    data = llm_data.small_text()
    torch.manual_seed(0)
    method = LmPretraining(data.vocab_size, **SIZES, learning_rate=2e-2, learning_rate_others=2e-2)
    batch = data.train[(torch.arange(8),)]
    with torch.no_grad():
        before = float(method.next_token_loss(batch))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_steps=30, enable_model_summary=False, **quiet).fit(method, data)
    with torch.no_grad():
        after = float(method.next_token_loss(batch))
    assert after < 0.7 * before
    method.export(tmp_path, data)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)("Question: Who wrote it?", return_tensors="pt")["input_ids"]
    torch.testing.assert_close(loaded(ids).logits, method.unlearned()(ids).logits)


def test_trained_further_it_starts_where_the_other_ended():
    data = llm_data.small_text()
    folder = llm_data.model_folder()
    method = LmPretraining(data.vocab_size, start=folder, optimiser="adamw")
    expected = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in method.model.state_dict().items())
