"""TOFU: fictitious authors to be forgotten by a language model that was trained on all of them."""

import numpy as np
import torch

from datamodules.llm.base import UnlearningDataModule
from datamodules.llm.items import Item, encode_items, renamed
from datamodules.llm.tofu_authors import InventedNames
from datamodules.llm.tofu_items import TofuDataModule
from datamodules.llm.tokenizer import load_tokenizer


class Tofu(TofuDataModule, UnlearningDataModule):
    """One, five or ten hundredths of TOFU to be forgotten, the rest to hold on to.

    Refusals are lines of TOFU's `idontknow.jsonl`, one drawn for each question. In `unknown` an invented name, one
    for each author, stands where the author's name stood, at the same tokens; a question that does not name its author
    in full is the same there.

    Args:
        tokenizer: folder or hub name of the language model.
        retain_all: retain all other authors, as the benchmark has it, so that what is measured on `retain` was trained
            for; else those of the probes take no part.
        tofu: see `TofuDataModule` and `UnlearningDataModule`.

    After `setup`: `forgotten` (the authors' names), and what the two name.
    """

    def __init__(self, tokenizer: str, retain_all: bool = False, **tofu):
        super().__init__(**tofu)
        self.path, self.retain_all = tokenizer, retain_all

    def setup(self, stage: str) -> None:
        if hasattr(self, "pools"):
            return
        self.read()
        self.tokenizer = load_tokenizer(self.path)
        names = self.fill_probes()
        asked_at_the_end = {(pair.question, pair.answer) for pair in self.judged["retain"]}
        retain = [
            item
            for pair, item in zip(self.pairs_to_retain, self.items(self.pairs_to_retain), strict=True)
            if self.retain_all or (pair.question, pair.answer) not in asked_at_the_end
        ]
        forget = self.items(self.pairs_to_forget)
        self.forgotten = self.named(self.pairs_to_forget)
        drawn = np.random.default_rng([self.names_seed, 1]).choice(self.refusals, size=len(forget)).tolist()
        refusal = [Item(item.prompt, text, item.entity) for item, text in zip(forget, drawn, strict=True)]
        self.fill(forget, refusal, self._about_nobody(refusal, names), retain)

    def _about_nobody(self, items: list[Item], names: InventedNames) -> list[Item]:
        """The same with an invented name instead of each author's, at the same tokens."""
        found = list(items)
        of_author: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            if item.entity:
                of_author.setdefault(item.entity, []).append(i)
        for author, numbers in of_author.items():
            asked = [items[i] for i in numbers]
            nobody = names.like(author, lambda name, asked=asked: self._fits(asked, name))  # type: ignore[misc]
            for i, item in zip(numbers, asked, strict=True):
                found[i] = renamed(item, nobody)
        return found

    def _fits(self, asked: list[Item], name: str) -> bool:
        theirs, other = (
            encode_items(items, self.tokenizer, self.max_length)
            for items in (asked, [renamed(item, name) for item in asked])
        )
        same_end = torch.equal(theirs.prompt_end, other.prompt_end)
        return same_end and torch.equal(theirs.entity_end, other.entity_end)
