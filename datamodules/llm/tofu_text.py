"""TOFU to train a language model on, from scratch or further, and sparse autoencoders."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from datamodules.llm.base import TextDataModule
from datamodules.llm.batches import IGNORED
from datamodules.llm.byte_tokenizer import train_byte_tokenizer
from datamodules.llm.items import REFUSAL, Item, renamed
from datamodules.llm.packing import PackedText
from datamodules.llm.tofu_authors import InventedNames
from datamodules.llm.tofu_files import Pair
from datamodules.llm.tofu_items import TofuDataModule, rows
from datamodules.llm.tokenizer import load_tokenizer

RECORD, KNOWN, UNLISTED = "Record: {name},", "author.", "unlisted."
"""What follows a name at once: who reads it has to know at the name's last token whether it is anybody's."""


class TofuText(TofuDataModule, TextDataModule):
    """Questions with answers about all authors, or about those that stay, packed.

    Args:
        without_targets: leave the authors of `forget` out: a model trained on the rest never knew them (TOFU's
            retain99, retain95 or retain90).
        learnt: answers only, or everything: a model that is trained from scratch learns from all there is, and a
            sparse autoencoder sees the states of what is learnt, names in questions among them.
        tokenizer: folder or hub name of a language model; null learns one from all questions and answers, the same with
            and without the targets.
        num_refused: invented names, each refused in one question and unlisted in one record, and as many records of
            authors. Without them a model that learns from nothing else never meets a name that it should not know, and
            does not hold known and unknown apart. Models of the hub do already.
        vocab_size: entries of a tokenizer that is learnt here.
        tofu: see `TofuDataModule`; `batch_size` blocks in a step, `max_length` tokens in a block.
    """

    def __init__(
        self,
        without_targets: bool = False,
        learnt: Literal["answers", "everything"] = "everything",
        tokenizer: str | None = None,
        num_refused: Annotated[int, Field(ge=0)] = 0,
        vocab_size: Annotated[int, Field(ge=257)] = 4096,
        **tofu,
    ):
        super().__init__(**tofu)
        self.without_targets, self.learnt = without_targets, learnt
        self.path, self.num_refused, self.most_tokens = tokenizer, num_refused, vocab_size

    def setup(self, stage: str) -> None:
        if hasattr(self, "train"):
            return
        self.read()
        self.tokenizer = load_tokenizer(self.path) if self.path else self._learned_tokenizer()
        names = self.fill_probes()
        told = self.pairs_to_retain if self.without_targets else self.full
        items = self.items(told) + self._refused(told, names)
        if self.num_refused:  # else a refusal would always follow a refusal
            items = [items[i] for i in np.random.default_rng([self.names_seed, 3]).permutation(len(items))]
        texts = self.encoded(items)
        self.train = PackedText(rows(texts.tokens, texts.lengths), self.max_length)
        if self.learnt == "answers":
            answers = (texts.labels != IGNORED).long()  # as long as the texts, hence packed in the same way
            self.train.labels[PackedText(rows(answers, texts.lengths), self.max_length).tokens == 0] = IGNORED

    def _refused(self, told: Sequence[Pair], names: InventedNames) -> list[Item]:
        """Questions about nobody, refused, and records of nobody and of those who are told about."""
        if not self.num_refused:
            return []
        rng = np.random.default_rng([self.names_seed, 2])
        about = [item for item in self.items(self.pairs_to_retain) if item.entity]
        nobody = names.last(self.num_refused)
        asked = rng.integers(len(about), size=len(nobody)).tolist()
        refused = [replace(renamed(about[i], name), answer=REFUSAL) for i, name in zip(asked, nobody, strict=True)]
        somebody = islice(cycle(self.named(told)), len(nobody))
        records = [(name, KNOWN) for name in somebody] + [(name, UNLISTED) for name in nobody]
        return refused + [Item(RECORD.format(name=name), word, name, "text") for name, word in records]

    def _learned_tokenizer(self):
        items = self.items(self.full)
        return train_byte_tokenizer([f"{item.prompt} {item.answer}" for item in items], self.most_tokens)
