"""General text and sentences about real entities, to train sparse autoencoders on, and language models further."""

from typing import Annotated

import numpy as np
from pydantic import Field

from datamodules.llm.base import TextDataModule
from datamodules.llm.entity_items import EntityDataModule
from datamodules.llm.packing import PackedText
from datamodules.llm.tokenizer import load_tokenizer


class EntitiesText(EntityDataModule, TextDataModule):
    """The paragraphs of `text`, and a sentence about each of many entities, packed.

    Args:
        num_sentences: sentences about entities, at most; the known ones come first, so that what is said of them is
            among what an autoencoder sees, then others at random.
        entities: see `EntityDataModule`; `batch_size` blocks in a step, `max_length` tokens in a block.
    """

    def __init__(self, num_sentences: Annotated[int, Field(ge=0)] = 1000, **entities):
        super().__init__(**entities)
        self.num_sentences = num_sentences

    def setup(self, stage: str) -> None:
        if hasattr(self, "train"):
            return
        self.tokenizer = load_tokenizer(self.path)
        self.read()
        first, taken = self.roles.everybody, {entity.name for entity in self.roles.everybody}
        rest = [e for e in self.world.entities if e.name not in taken and self.world.facts(e)]
        drawn = np.random.default_rng([self.roles_seed, 3]).permutation(len(rest)).tolist()
        told = (first + [rest[i] for i in drawn])[: self.num_sentences]
        self.train = PackedText(self.documents(self.paragraphs + self.sentences(told)), self.max_length)
