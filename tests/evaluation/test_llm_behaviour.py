"""What a model says, each measure against a plain computation of the same, and answers to a user's prompts."""

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.llm.items import REFUSAL, Item
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import llm, llm_behaviour
from lit_unlearn.evaluation.llm_asking import NUM_WRONG, WrongAnswers, questions, template
from lit_unlearn.evaluation.llm_behaviour import judge
from lit_unlearn.evaluation.llm_rows import Name
from lit_unlearn.metrics.knownness import mean_interval
from tests.anomaly_data import trainer
from tests.evaluation.llm_models import Judged, data as data, taught as taught
from tests.llm_data import small_unlearning


@torch.no_grad()
def test_an_answer_is_right_where_greedy_decoding_gives_it(data, taught):
    for split, rates in (("forget", (0.9, 1)), ("forget_paraphrase", (0.1, 0.9)), ("neighbour_statement", (0, 0.5))):
        items = data.probes[split]
        exact = judge(taught, items).exact
        assert rates[0] <= exact.mean() <= rates[1]
        for i in range(len(items)):
            tokens, end = items.tokens[i : i + 1], int(items.prompt_end[i]) + 1
            answer = tokens[0, end : items.lengths[i]]
            prompt = tokens[:, :end]
            options = {"max_new_tokens": len(answer), "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
            written = taught.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[0, end:]
            assert exact[i] == torch.equal(written, answer), items.items[i]


@torch.no_grad()
def test_judging_in_batches_is_judging_one_by_one(data, taught, monkeypatch: pytest.MonkeyPatch):
    items = data.encoded([*data.probes["unknown"].items[:9], *data.probes["forget_statement"].items[:9]])
    assert len(items.lengths.unique()) > 3
    monkeypatch.setattr(llm_behaviour, "ROWS_AT_ONCE", 7)
    judged = judge(taught, items)
    for i in range(len(items)):
        ids, start = items.tokens[i, : items.lengths[i]], int(items.prompt_end[i])
        log_probs = taught(ids[None]).logits[0, start:-1].log_softmax(-1)
        answer = ids[start + 1 :]
        assert judged.log_prob[i] == pytest.approx(log_probs[range(len(answer)), answer].mean().item(), abs=1e-5)
        assert judged.exact[i] == bool((log_probs.argmax(-1) == answer).all())
        assert judged.first[i] == log_probs[0].argmax()
    some = judge(taught, items, torch.tensor([11, 2, 5]))
    assert some.log_prob == pytest.approx(judged.log_prob[[11, 2, 5]], abs=1e-5)


def test_refusals_are_read_to_their_end(data, taught):
    """What begins like a refusal may go on otherwise; what begins otherwise is none."""
    asked = questions(data)
    unknown = data.probes["unknown"].items
    longer = data.encoded([Item(item.prompt, "I do not know. By trade", item.entity) for item in unknown])
    first = judge(taught, data.probes["unknown"]).first
    assert judge(taught, data.probes["unknown"]).exact.sum() > 10
    assert llm_behaviour._refused(taught, longer, first).sum() == 0
    for split, refusals in asked.refusals.items():
        first = judge(taught, asked.probes[split]).first
        assert (llm_behaviour._refused(taught, refusals, first) == judge(taught, refusals).exact).all(), split


def test_wrong_answers_are_others_to_the_same_prompt(data):
    asked = questions(data)
    found = {(template(item), item.answer) for items in asked.probes.values() for item in items.items}
    assert asked.wrong.keys() == {"forget", "retain", "neighbour"}
    for split, wrong in asked.wrong.items():
        own = asked.probes[split].items
        for item, row in zip(wrong.items.items, wrong.row, strict=True):
            assert item.prompt == own[row].prompt and item.answer not in (own[row].answer, REFUSAL)
            assert (template(item), item.answer) in found
        counts = np.bincount(wrong.row)
        assert counts.max() <= NUM_WRONG and (wrong.column < counts[wrong.row]).all()
    again = questions(data).wrong["forget"].items.items
    assert [item.answer for item in again] == [item.answer for item in asked.wrong["forget"].items.items]


def test_truth_ratio_by_hand(data, taught):
    numbers, notes = llm_behaviour.behaviour(taught, questions(data), forgetting=True)
    assert not [note for note in notes if "truth_ratio" in note]
    for split in ("forget", "retain"):
        wrong = questions(data).wrong[split]
        right = judge(taught, data.probes[split]).log_prob
        losses = judge(taught, wrong.items).log_prob
        ratios = [np.exp(losses[wrong.row == i].mean() - right[i]) for i in np.unique(wrong.row)]
        by_hand = [min(r, 1 / r) if split == "forget" else max(0, 1 - r) for r in ratios]
        number = numbers[Name("behaviour", "truth_ratio", split)]
        assert (number.value, number.n) == (pytest.approx(np.mean(by_hand), rel=1e-9), len(by_hand))


def test_the_interval_of_a_truth_ratio_is_that_of_its_entities(data, taught):
    """Wrong answers to two items about one target and to one about another."""
    items, rows = data.probes["forget"], np.array([7, 8, 13])
    swapped = [replace(items.items[row], answer=items.items[0].answer) for row in rows]
    wrong = WrongAnswers(data.encoded(swapped), rows, np.zeros(3, dtype=int))
    asked = questions(data)._replace(wrong={"forget": wrong})
    number = llm_behaviour.behaviour(taught, asked, forgetting=True)[0][Name("behaviour", "truth_ratio", "forget")]
    log_ratio = judge(taught, wrong.items).log_prob - judge(taught, items).log_prob[rows]
    expected = mean_interval(np.exp(-np.abs(log_ratio)), np.array([0, 0, 1]))
    assert (number.n, number.ci95) == (3, pytest.approx(expected, rel=1e-6))
    assert expected[0] < expected[1]


def test_perplexity_is_that_of_every_document_by_itself(data, taught):
    documents, losses = [], []
    for tokens, labels, positions in zip(*data.general, strict=True):
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(tokens)]
        spans = [slice(*ends) for ends in pairwise(starts)]
        documents += [tokens[span] for span in spans if (labels[span] >= 0).any()]
    with torch.no_grad():
        for ids in documents[:40]:
            log_probs = taught(ids[None]).logits[0, :-1].log_softmax(-1)
            losses.append(-log_probs[range(len(ids) - 1), ids[1:]])
    some = torch.cat(losses)
    assert -llm_behaviour.text_log_probs(taught, data.general)[: len(some)] == pytest.approx(some.numpy(), abs=1e-4)


def test_a_perplexity_beyond_numbers_is_absent(data, taught, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llm_behaviour, "text_log_probs", lambda *_: torch.tensor([-1e4]))
    numbers, notes = llm_behaviour._utility(taught, data.general)
    assert numbers == {} and notes == ["perplexity: absent, too large for a number (loss 10000 a token)"]


def test_prompts_are_answered(data, taught, tmp_path: Path):
    unknown = data.probes["unknown"].items
    hits = judge(taught, data.probes["unknown"]).exact
    asked = [unknown[i].prompt for i in np.flatnonzero(hits)[:2]]
    (tmp_path / "prompts.txt").write_text("\n\n".join(asked) + "\n")
    output = tmp_path / "answers.csv"
    said = llm.score(Judged(taught, None), small_unlearning(), trainer(), str(tmp_path / "prompts.txt"), str(output))
    assert said == f"2 prompts answered: {output}"
    with output.open() as file:
        assert list(csv.reader(file)) == [["prompt", "answer"], *([prompt, REFUSAL] for prompt in asked)]
    shown = llm.score(Judged(taught, None), small_unlearning(), trainer(), str(tmp_path / "prompts.txt"), None)
    assert shown.splitlines() == output.read_text().splitlines()


@pytest.mark.parametrize(
    ("content", "layout", "message"),
    [
        (None, None, "cannot be read"),
        ("\n \n", None, "no prompt in it"),
        ("Who?", "plain", "layout=plain: says how the lines of a log are cut"),
    ],
)
def test_prompts_that_cannot_be_answered(content, layout, message: str, data, taught, tmp_path: Path):
    if content is not None:
        (tmp_path / "prompts.txt").write_text(content)
    with pytest.raises(UserError, match=message):
        llm.score(Judged(taught, None), data, trainer(), str(tmp_path / "prompts.txt"), None, layout)
