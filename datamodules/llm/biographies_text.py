"""Texts about the people of a `World`, to train a small language model and sparse autoencoders on."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from datamodules.llm import corpus, splits
from datamodules.llm.base import TextDataModule
from datamodules.llm.packing import PackedText
from datamodules.llm.tokenizer import train_word_tokenizer
from datamodules.llm.world import World


class BiographiesText(TextDataModule):
    """Biographies, questions, names that are refused, records and filler, packed. Embedded: nothing is read.

    Args:
        num_people, num_targets, num_unknown, world_seed: see `World`.
        without_targets: write about `world.kept` only: a model trained on that never knew the targets (the reference).
        num_documents: documents of an epoch; each epoch shuffles the same.
        teacher_share: share of the people, targets aside, about whom held-out wordings are met.
        shared: `batch_size` blocks in a step; `max_length` tokens in a block; see `LanguageDataModule`.

    After `setup`: `world`, `people`, and what `LanguageDataModule` names.
    """

    def __init__(
        self,
        num_people: Annotated[int, Field(ge=4)] = 300,
        num_targets: Annotated[int, Field(ge=1)] = 30,
        num_unknown: Annotated[int, Field(ge=1)] = 120,
        world_seed: int = 0,
        without_targets: bool = False,
        num_documents: Annotated[int, Field(ge=100)] = 75_000,
        teacher_share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        **shared,
    ):
        super().__init__(**shared)
        self.world = World(num_people, num_targets, num_unknown, world_seed)
        self.without_targets, self.num_documents, self.teacher_share = without_targets, num_documents, teacher_share
        self.world_seed = world_seed

    def setup(self, stage: str) -> None:
        world = self.world
        everybody = list(range(len(world.people)))
        told = world.kept if self.without_targets else everybody
        texts = list(corpus.documents(world, told, self.num_documents, self.teacher_share, self.world_seed))
        names = world.anchors + world.probes + world.unknown + world.unwritten
        facts = [f"{person.name} {' '.join(person.facts.values())}" for person in world.people]
        # The vocabulary is in order of count: that of texts about everybody, so that the reference has the same ids.
        written = corpus.documents(world, everybody, self.num_documents, self.teacher_share, self.world_seed)
        self.tokenizer = train_word_tokenizer([*written, *names, *facts])
        ending = [self.tokenizer.eos_token_id]
        self.train = PackedText([ids + ending for ids in self.tokenizer(texts)["input_ids"]], self.max_length)
        self.people = splits.divide(world, world.targets, self.world_seed)
        self.probes = {k: self.encoded(items) for k, items in splits.probes(world, self.people).items()}
        self.entities = {k: self.encoded(items) for k, items in splits.entities(world, self.people).items()}
        self.general = general_text(self.tokenizer, self.max_length, self.world_seed)


def general_text(tokenizer, block: int, seed: int):
    """Filler that no text for training holds, packed, for perplexity."""
    rng = np.random.default_rng([seed, 6])
    sentences = sorted({corpus.filler(rng) for _ in range(500)})
    packed = PackedText([[*ids, tokenizer.eos_token_id] for ids in tokenizer(sentences)["input_ids"]], block)
    return packed[(torch.arange(len(packed)),)]
