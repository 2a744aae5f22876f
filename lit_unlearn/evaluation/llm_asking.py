"""What language models are asked: prepared once, the same for the judged, the untouched and the reference model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.llm.batches import TextBatch
from datamodules.llm.items import REFUSAL, EncodedItems, Item

if TYPE_CHECKING:
    from datamodules.llm.base import LanguageDataModule

UNKNOWN = "unknown"
ASKED_FURTHER = ("forget", "retain", "neighbour")
"""Splits of plain questions that are also judged by refusal and truth ratio."""
NUM_WRONG = 3
MOST_WITH_WRONG = 180
"""Items of a split that get wrong answers, at most; they cost several passes each."""


class WrongAnswers(NamedTuple):
    """Items of a split with other answers than their own.

    Attributes:
        items: a row each.
        row, column: (M,) int64, the item of the split, and which of its wrong answers this is.
    """

    items: EncodedItems
    row: NDArray
    column: NDArray


class Questions(NamedTuple):
    """What is asked.

    Attributes:
        probes: by split, with the true answers; those of split `unknown` are refusals.
        refusals: by split, the same prompts answered with a refusal.
        wrong: by split; a split without any is absent.
        general: text for perplexity.
    """

    probes: dict[str, EncodedItems]
    refusals: dict[str, EncodedItems]
    wrong: dict[str, WrongAnswers]
    general: TextBatch


def questions(data: "LanguageDataModule") -> Questions:
    """What the data set asks, with refusals and wrong answers added."""
    further = {split: data.probes[split] for split in ASKED_FURTHER if split in data.probes}
    refusals = {
        split: data.encoded([Item(item.prompt, REFUSAL, item.entity, item.kind) for item in asked.items])
        for split, asked in further.items()
    }
    answers = _answers_by_template(data.probes)
    wrong = {split: _wrong_answers(asked.items, answers, data) for split, asked in further.items()}
    return Questions(data.probes, refusals, {k: found for k, found in wrong.items() if found is not None}, data.general)


def template(item: Item) -> str:
    """The prompt without its entity: items that ask for the same attribute in the same words share it."""
    return item.prompt.replace(item.entity, "{}") if item.entity else item.prompt


def entity_numbers(items: Sequence[Item]) -> NDArray:
    """(N,) int64, equal for items about the same entity; an item about none stands for itself."""
    return np.unique([item.entity or f"item {i}" for i, item in enumerate(items)], return_inverse=True)[1]


def _answers_by_template(probes: dict[str, EncodedItems]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for asked in probes.values():
        for item in asked.items:
            if item.answer != REFUSAL:
                found.setdefault(template(item), set()).add(item.answer)
    return {prompt: sorted(answers) for prompt, answers in found.items()}


def _wrong_answers(
    items: Sequence[Item], answers: dict[str, list[str]], data: "LanguageDataModule"
) -> WrongAnswers | None:
    """Up to `NUM_WRONG` answers for each of some items, drawn from those that others with the same template have."""
    rng = np.random.default_rng(0)
    texts, row, column = [], [], []
    for i in sorted(rng.permutation(len(items))[:MOST_WITH_WRONG].tolist()):
        item = items[i]
        others = [answer for answer in answers.get(template(item), []) if answer != item.answer]
        for j, answer in enumerate(rng.permutation(others)[:NUM_WRONG].tolist()):
            texts.append(Item(item.prompt, answer, item.entity, item.kind))
            row.append(i)
            column.append(j)
    return WrongAnswers(data.encoded(texts), np.array(row), np.array(column)) if texts else None
