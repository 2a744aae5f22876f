"""Real entities to be forgotten by a language model that read of them: a player, a film, a song."""

from typing import Annotated

import torch
from pydantic import Field

from datamodules.llm import entity_wordings as wordings
from datamodules.llm.base import UnlearningDataModule
from datamodules.llm.entity_files import Entity
from datamodules.llm.entity_items import EntityDataModule
from datamodules.llm.items import REFUSAL, Item, encode_items, renamed
from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.errors import UserError


class Entities(EntityDataModule, UnlearningDataModule):
    """Targets in questions and statements; others, text about something else, and names that nobody has to hold on to.

    In `unknown` a name that nobody has stands where the target's name stood, at the same tokens.

    Args:
        num_aims: such names for each target: every item to be forgotten comes with each of them.
        num_text: paragraphs of general text to be retained, at most; those too long for an item are left out.
        entities: see `EntityDataModule` and `UnlearningDataModule`.
    """

    def __init__(
        self,
        num_aims: Annotated[int, Field(ge=1)] = 4,
        num_text: Annotated[int, Field(ge=0)] = 200,
        **entities,
    ):
        super().__init__(**entities)
        self.num_aims, self.num_text = num_aims, num_text

    def setup(self, stage: str) -> None:
        if hasattr(self, "pools"):
            return
        if not self.targets:
            raise UserError("data.targets: names nobody to be forgotten; give a name of the files, such as [NAME]")
        self.tokenizer = load_tokenizer(self.path)
        names = self.read()
        forget, unknown = [], []
        for entity in self.roles.targets:
            asked = self._told(entity)
            for _ in range(self.num_aims):
                nobody = names.like(entity.name, lambda name, asked=asked: self._fits(asked, name))  # type: ignore[misc]
                forget += asked
                unknown += [renamed(Item(item.prompt, REFUSAL, item.entity, item.kind), nobody) for item in asked]
        refusal = [Item(item.prompt, REFUSAL, item.entity, item.kind) for item in forget]
        kept = [item for e in self.roles.neighbours_shown + self.roles.retained for item in self._told(e)]
        self.fill(forget, refusal, unknown, kept + self._text())

    def _told(self, entity: Entity) -> list[Item]:
        """Everything about somebody in wordings that are not held out."""
        return [
            item
            for fact in self.world.facts(entity)
            for item in wordings.trained(self.kind, fact.attribute, fact.name, fact.value)
        ]

    def _fits(self, asked: list[Item], name: str) -> bool:
        theirs, other = (
            encode_items(items, self.tokenizer, self.max_length)
            for items in (asked, [renamed(item, name) for item in asked])
        )
        same_end = torch.equal(theirs.prompt_end, other.prompt_end)
        return same_end and torch.equal(theirs.entity_end, other.entity_end)

    def _text(self) -> list[Item]:
        lengths = [len(ids) for ids in self.tokenizer(self.paragraphs)["input_ids"]]
        short = [text for text, n in zip(self.paragraphs, lengths, strict=True) if 4 < n < self.max_length]
        return [Item("", text, "", "text") for text in short[: self.num_text]]
