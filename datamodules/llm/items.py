"""Prompts with answers, as text and as tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.llm.batches import ENTITY_ABSENT, IGNORED, AnswerBatch
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REFUSAL = "I do not know."


@dataclass(frozen=True)
class Item:
    """A prompt and its answer.

    Attributes:
        prompt: what the model is given.
        answer: what follows; a space stands between the two.
        entity: what the prompt is about, as it is written there; its last occurrence counts. Empty: nothing.
        kind: the form.
    """

    prompt: str
    answer: str
    entity: str = ""
    kind: Literal["question", "statement", "paraphrase", "reverse", "text"] = "question"


def renamed(item: Item, name: str) -> Item:
    """An item about somebody else."""
    return replace(item, prompt=item.prompt.replace(item.entity, name), entity=name)


class EncodedItems:
    """Items as padded tokens, in memory.

    Attributes:
        items: the N texts.
        tokens, labels: (N, T) int64, see `AnswerBatch`; padded with 0 and `IGNORED`.
        lengths, entity_end, prompt_end: (N,) int64.
    """

    def __init__(self, items: Sequence[Item], tokens: list[list[int]], prompt_end: list[int], entity_end: list[int]):
        self.items = list(items)
        self.lengths = torch.tensor([len(row) for row in tokens])
        width = int(self.lengths.max())
        padded = np.zeros((len(tokens), width), dtype=np.int64)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = ids
        self.tokens = torch.from_numpy(padded)
        self.prompt_end, self.entity_end = torch.tensor(prompt_end), torch.tensor(entity_end)
        column = torch.arange(width)
        answer = (column > self.prompt_end[:, None]) & (column < self.lengths[:, None])
        self.labels = self.tokens.masked_fill(~answer, IGNORED)

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Tensor) -> AnswerBatch:
        """Rows by their numbers, cut to the longest of them."""
        width = int(self.lengths[indices].max())
        return AnswerBatch(
            self.tokens[indices, :width],
            self.labels[indices, :width],
            self.entity_end[indices],
            self.prompt_end[indices],
            indices,
        )


class Choices(NamedTuple):
    """Items with their right answers, and with others that they are ranked among.

    Attributes:
        right: the N items.
        wrong: M items, the same prompts with other answers.
        owner: (M,) int64, which of the N each belongs to; every one has some.
    """

    right: EncodedItems
    wrong: EncodedItems
    owner: NDArray[np.int64]


def encode_items(items: Sequence[Item], tokenizer: "PreTrainedTokenizerFast", max_length: int) -> EncodedItems:
    """Tokens of prompt and answer as they stand together, with the end of both the prompt and the entity in it.

    The tokenizer's own special tokens (a begin of text) are added where it adds any; its end of text closes an answer,
    but for statements, after which a text may go on.

    Args:
        items: at least one.
        tokenizer: a fast one, which knows where in the text a token came from.
        max_length: tokens; a longer item is refused rather than cut, its answer would be lost.

    Raises:
        UserError: an item is too long, or a prompt or an entity ends within a token.
    """
    texts = [f"{item.prompt} {item.answer}" if item.prompt else item.answer for item in items]
    encoded = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    ending = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    tokens, prompt_end, entity_end = [], [], []
    for item, row, spans in zip(items, ids, offsets, strict=True):
        if item.kind != "statement" and row[-1:] != ending:
            row = row + ending
        tokens.append(row)
        prompt_end.append(_last_token(spans, len(item.prompt), item.prompt) if item.prompt else 0)
        start = item.prompt.rfind(item.entity) if item.entity else -1
        entity_end.append(_last_token(spans, start + len(item.entity), item.entity) if start >= 0 else ENTITY_ABSENT)
    longest = max(range(len(tokens)), key=lambda i: len(tokens[i]))
    if len(tokens[longest]) > max_length:
        prompt, needed = items[longest].prompt, len(tokens[longest])
        raise UserError(
            f"data.max_length={max_length}: {prompt!r} with its answer has {needed} tokens; give {needed} or more"
        )
    return EncodedItems(items, tokens, prompt_end, entity_end)


def _last_token(spans: list[tuple[int, int]], end: int, text: str) -> int:
    """The last token that begins before a character's position; special tokens have empty spans."""
    found = max((i for i, (a, b) in enumerate(spans) if a < end and b > a), default=None)
    if found is None or spans[found][1] > end:
        raise UserError(f"{text!r} ends within a token of this tokenizer; begin the answer with another word")
    return found
