"""Writing and judging many prompts at a time gives what one prompt at a time gives."""

from collections.abc import Callable
from functools import cache

import pytest
import torch

from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.concepts.generation import LanguageModel, Sampling, nucleus_sample, shared_out
from lit_unlearn.errors import UserError
from lit_unlearn.networks.causal_lm import load_causal_lm
from tests.llm_data import model_folder, small_text

SAMPLING = Sampling(1.5, 0.9, 7)


@cache
def parts():
    model = load_causal_lm(model_folder())
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(40)  # random weights that have preferences
    return model, load_tokenizer(model_folder())


@cache
def with_absolute_positions():
    """A GPT-2: where a token stands matters to it, not only how far others are."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(parts()[1]), n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        model.transformer.wpe.weight.mul_(40)
        model.transformer.wte.weight.mul_(40)
    return model, parts()[1]


def speaker(batch_size: int) -> LanguageModel:
    return LanguageModel(*parts(), batch_size)


@cache
def prompts() -> list[str]:
    people = small_text().world.people
    return [f"{'The birthplace of ' * (i % 3)}{person.name} was" for i, person in enumerate(people)]


@pytest.mark.parametrize("made", [parts, with_absolute_positions])
def test_greedy_is_that_of_transformers(made: Callable):
    model, tokenizer = made()
    written = LanguageModel(model, tokenizer, 5).write(prompts(), 1, 6, None, "~")
    for prompt, (answer,) in zip(prompts(), written, strict=True):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0
        )
        assert answer == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def test_samples_do_not_depend_on_the_batch():
    whole = speaker(64).write(prompts(), 3, 8, SAMPLING, "~")
    assert speaker(1).write(prompts(), 3, 8, SAMPLING, "~") == whole
    assert speaker(7).write(prompts()[::-1], 3, 8, SAMPLING, "~")[::-1] == whole
    assert speaker(64).write(prompts(), 3, 8, Sampling(1.5, 0.9, 8), "~") != whole
    assert [answers[:2] for answers in whole] == speaker(9).write(prompts(), 2, 8, SAMPLING, "~")
    assert len({answer for answers in whole for answer in answers}) > len(prompts())


def test_rows_that_end_leave_the_others_alone():
    whole = speaker(64).write(prompts(), 3, 10, SAMPLING, "~")
    texts = [text for answers in whole for text in answers]
    word = max({w for text in texts for w in text.split()}, key=lambda w: sum(w in text for text in texts))
    assert 0 < sum(word in text for text in texts) < len(texts)
    cut = speaker(64).write(prompts(), 3, 10, SAMPLING, word)
    assert cut == [[text.split(word)[0] for text in answers] for answers in whole]


def test_the_end_is_cut_off():
    (answer,) = speaker(1).write(prompts()[:1], 1, 8, None, "~")[0]
    word = answer.split()[3]
    (cut,) = speaker(1).write(prompts()[:1], 1, 8, None, word)[0]
    assert cut == answer.split(word)[0] and len(cut) < len(answer)


def test_log_probs_are_those_of_one_pass():
    model, tokenizer = parts()
    answers = [" Question", " true. Answer: piano", " ."] * 4
    found = speaker(5).log_probs(prompts(), answers)
    for prompt, answer, value in zip(prompts(), answers, found, strict=True):
        start = len(tokenizer(prompt)["input_ids"])
        ids = tokenizer(prompt + answer, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            each = model(ids).logits.log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
        assert value == pytest.approx(each[start - 1 :].sum().item(), abs=1e-4)


def test_the_nucleus_by_hand():
    logits = torch.tensor([[0.1, 0.5, 0.4]]).log()
    for uniform, top_p, token in [
        (0.0, 1.0, 1), (0.49, 1.0, 1), (0.51, 1.0, 2), (0.89, 1.0, 2), (0.91, 1.0, 0), (0.999999, 0.9, 2),
        (0.55, 0.6, 1), (0.56, 0.6, 2), (0.999999, 0.4, 1),
    ]:  # fmt: skip
        assert nucleus_sample(logits, torch.tensor([uniform]), 1.0, top_p).item() == token, (uniform, top_p)
    # At temperature 0.5 probabilities are squared: 0.01, 0.25, 0.16 of 0.42.
    assert nucleus_sample(logits, torch.tensor([0.59]), 0.5, 1.0).item() == 1
    assert nucleus_sample(logits, torch.tensor([0.60]), 0.5, 1.0).item() == 2


def test_a_prompt_that_is_too_long():
    with pytest.raises(UserError, match="has 7[0-9] tokens and the model reads 64"):
        speaker(1).write(["The birthplace of " * 25], 1, 4, None, ".")


def test_shared_out():
    assert list(shared_out(7, 3)) == [3, 2, 2] and list(shared_out(2, 3)) == [1, 1, 0]
