"""What both data modules of real entities share: what a language model is asked at the end, and about whom."""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from datamodules.llm import entity_wordings as wordings
from datamodules.llm.base import LanguageDataModule
from datamodules.llm.entity_files import LAYOUTS, Entity, Kind, read_entities
from datamodules.llm.entity_roles import Fact, World
from datamodules.llm.items import REFUSAL, Choices, Item
from datamodules.llm.packing import PackedText
from datamodules.llm.tofu_authors import InventedNames
from lit_unlearn.errors import UserError

HELD_OUT = -1
"""The wording that nothing is trained with."""

RECOMBINED = 120
"""Entities whose names are recombined into names that nobody has: those with a part, then others."""

HELD_OUT_TEXT = 0.1
"""Share of the paragraphs that nothing is trained with."""

MOST = 10
"""Entities of a part that are asked about, at most: every answer is compared with others."""

MOST_TEXT = 64
"""Held-out paragraphs that are read for perplexity, at most."""

SPOKEN_OF = 400
"""Entities whom the sentences are about that stand in for general text."""


class EntityDataModule(LanguageDataModule):
    """Reads entities, and fills in what language models are judged with.

    Neighbours share a word of their name, or a value that is asked for, with a target. Of them, and of the others, half
    take no part in unlearning. A name that nobody has is the first word of one name with the rest of another's.

    Args:
        tokenizer: folder or hub name of the language model.
        data_root: folder of all data sets; the files are in `<data_root>/wikidata_entities`.
        kind: of entities.
        targets: names to forget.
        known: names that the model is taken to know; null takes those with the smallest numbers in Wikidata.
        attributes: what is asked about; null takes all of the kind.
        text: a UTF-8 file of general text, an empty line between paragraphs: a tenth is kept for perplexity, the rest
            may be trained with. Empty takes sentences about entities that have no other part.
        num_known: entities besides targets, where `known` is null.
        num_neighbours: entities beside the known that share a word of a target's name, at most.
        num_unknown: names that nobody has, to be asked about at the end.
        num_choices: other answers that a right one is ranked among, the most frequent values of the attribute.
        roles_seed: draws who is held out, and the names that nobody has; the same for all runs that are compared.
        shared: see `LanguageDataModule`.

    After `setup`: `roles`, `forgotten` (the targets' names), and what `LanguageDataModule` names. The splits are
    `forget`, `retain`, `neighbour`, `neighbour_shown` (questions), the first three also as `_statement`;
    `forget_paraphrase` and `forget_statement_paraphrase` in wordings that nothing is trained with; `unknown`, in
    `choices` also as `_statement`.
    """

    def __init__(
        self,
        tokenizer: str,
        data_root: str,
        kind: Kind = "player",
        targets: list[str] | None = None,
        known: list[str] | None = None,
        attributes: list[str] | None = None,
        text: str = "",
        num_known: Annotated[int, Field(ge=1)] = 100,
        num_neighbours: Annotated[int, Field(ge=0)] = 20,
        num_unknown: Annotated[int, Field(ge=1)] = 20,
        num_choices: Annotated[int, Field(ge=1)] = 9,
        roles_seed: int = 0,
        **shared,
    ):
        super().__init__(**shared)
        self.path, self.data_root, self.kind, self.text = tokenizer, data_root, kind, text
        self.targets, self.known, self.attributes = targets or [], known, attributes
        self.num_known, self.num_neighbours, self.num_unknown = num_known, num_neighbours, num_unknown
        self.num_choices, self.roles_seed = num_choices, roles_seed

    def read(self) -> InventedNames:
        """Reads the files and fills in `world`, `roles`, `paragraphs` to train with, and what is judged with.

        Set `tokenizer` before.

        Returns:
            the names that nobody has and that are left.

        Raises:
            UserError: files are absent or damaged, an attribute or a name is not there, or too few entities are.
        """
        every = list(LAYOUTS[self.kind].attributes)
        asked = every if self.attributes is None else self.attributes
        if not asked or set(asked) - set(every):
            raise UserError(f"data.attributes={asked}: give some of {', '.join(every)}, those of data.kind={self.kind}")
        self.world = World(read_entities(self.data_root, self.kind), asked)
        self.roles = self.world.roles(self.targets, self.known, self.num_known, self.num_neighbours, self.roles_seed)
        self.forgotten = [entity.name for entity in self.roles.targets]
        self.paragraphs, held_out = self._divided_text()
        packed = PackedText(self.documents(held_out[:MOST_TEXT]), self.max_length)
        self.general = packed[(torch.arange(len(packed)),)]
        everybody = [entity.name for entity in self.world.entities]
        words = {word for name in self.forgotten for word in name.split()}
        mixed = list(dict.fromkeys([entity.name for entity in self.roles.everybody] + everybody[:RECOMBINED]))
        mixed = [name for name in mixed if words.isdisjoint(name.split())]  # a target's namesakes would be half of it
        mixed = mixed[:RECOMBINED]
        names = InventedNames(mixed, everybody, self.tokenizer, self.roles_seed)
        self._fill(names)
        return names

    def documents(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts as tokens, cut into parts of at most `max_length`; each begins as the tokenizer begins a text."""
        begin = self.tokenizer("")["input_ids"]
        begin = begin[:1] if begin[:1] == [self.tokenizer.bos_token_id] else []
        room = self.max_length - len(begin)
        texts_ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        parts = [begin + ids[at : at + room] for ids in texts_ids for at in range(0, len(ids), room)]
        return [ids for ids in parts if len(ids) > 1]

    def sentences(self, entities: Sequence[Entity]) -> list[str]:
        """A true sentence about each, in wordings that are not held out."""
        found = []
        for number, entity in enumerate(entities):
            facts = self.world.facts(entity)
            fact = facts[number % len(facts)]
            options = len(wordings.STATEMENTS[self.kind][fact.attribute]) - 1
            item = wordings.statement(self.kind, fact.attribute, number % options, fact.name, fact.value)
            found.append(f"{item.prompt} {item.answer}.")
        return found

    def _divided_text(self) -> tuple[list[str], list[str]]:
        """Paragraphs to train with, and those that nothing is trained with."""
        if not self.text:
            taken = {entity.name for entity in self.roles.everybody}
            rest = [e for e in self.world.entities if e.name not in taken and self.world.facts(e)]
            drawn = np.random.default_rng([self.roles_seed, 1]).permutation(len(rest))[:SPOKEN_OF]
            found = self.sentences([rest[i] for i in drawn.tolist()])
        else:
            found = paragraphs(self.text)
        if len(found) < 2:
            raise UserError(
                f"data.text={self.text}: {len(found)} paragraphs; give a text with more, empty lines between"
            )
        order = np.random.default_rng([self.roles_seed, 2]).permutation(len(found)).tolist()
        kept = math.ceil(HELD_OUT_TEXT * len(found))
        return [found[i] for i in order[kept:]], [found[i] for i in order[:kept]]

    def _fill(self, names: InventedNames) -> None:
        roles, model = self.roles, [entity.name for entity in self.roles.targets + self.roles.others]
        unknown = [names.like(name) for name in islice(cycle(model), self.num_unknown)]
        retained = [entity.name for entity in roles.retained]
        groups = {
            "target": self.forgotten,
            "known": [entity.name for entity in roles.others[:MOST]],
            "neighbour": [entity.name for entity in roles.neighbours[:MOST]],
            "unknown": unknown,
            "probe_known": retained,
            "probe_unknown": [names.like(name) for name in retained],
        }
        self.entities = {group: self.encoded(self._looked_at(named)) for group, named in groups.items() if named}

        told = {
            part: [fact for entity in getattr(roles, part)[:MOST] for fact in self.world.facts(entity)]
            for part in ("targets", "others", "neighbours", "neighbours_shown")
        }
        of_targets = told["targets"]
        guessed = [of_targets[i % len(of_targets)]._replace(name=name) for i, name in enumerate(unknown) if of_targets]
        splits = {
            "forget": (told["targets"], self._questions),
            "forget_statement": (told["targets"], self._statements),
            "forget_paraphrase": (told["targets"], self._questions_anew),
            "forget_statement_paraphrase": (told["targets"], self._statements_anew),
            "retain": (told["others"], self._questions),
            "retain_statement": (told["others"], self._statements),
            "neighbour": (told["neighbours"], self._questions),
            "neighbour_statement": (told["neighbours"], self._statements),
            "neighbour_shown": (told["neighbours_shown"], self._questions),
            "unknown": (guessed, self._questions),
            "unknown_statement": (guessed, self._statements),
        }
        asked = {split: (facts, worded(facts)) for split, (facts, worded) in splits.items() if facts}
        ranked = {split: self._ranked(*found) for split, found in asked.items()}
        self.choices = {split: found for split, found in ranked.items() if found is not None}
        self.probes = {k: self.encoded(items) for k, (_, items) in asked.items() if not k.startswith("unknown")}
        self.probes["unknown"] = self.entities["unknown"]

    def _ranked(self, facts: Sequence[Fact], items: Sequence[Item]) -> Choices | None:
        """Items with what they are ranked among, None without any; `facts` are those they ask for, over and over."""
        right: list[Item] = []
        wrong: list[Item] = []
        owner: list[int] = []
        for fact, item in zip(cycle(facts), items, strict=False):
            others = self.world.others(fact, self.num_choices)
            if others:
                owner += [len(right)] * len(others)
                right.append(item)
                wrong += [Item(item.prompt, value, item.entity, item.kind) for value in others]
        return Choices(self.encoded(right), self.encoded(wrong), np.array(owner)) if right else None

    def _questions(self, facts: Sequence[Fact]) -> list[Item]:
        return self._worded(facts, wordings.question, wordings.QUESTIONS)

    def _statements(self, facts: Sequence[Fact]) -> list[Item]:
        return self._worded(facts, wordings.statement, wordings.STATEMENTS)

    def _worded(self, facts, form, options) -> list[Item]:
        """Few facts in all wordings that are not held out, many in one each."""
        most = [len(options[self.kind][fact.attribute]) - 1 for fact in facts]
        rounds = range(max(most)) if len(facts) < max(most) * 4 else range(1)
        return [
            form(self.kind, fact.attribute, (number + turn) % wording, fact.name, fact.value)
            for turn in rounds
            for number, (fact, wording) in enumerate(zip(facts, most, strict=True))
        ]

    def _questions_anew(self, facts: Sequence[Fact]) -> list[Item]:
        return [wordings.question(self.kind, f.attribute, HELD_OUT, f.name, f.value) for f in facts]

    def _statements_anew(self, facts: Sequence[Fact]) -> list[Item]:
        return [wordings.statement(self.kind, f.attribute, HELD_OUT, f.name, f.value) for f in facts]

    def _looked_at(self, names: Iterable[str]) -> list[Item]:
        """The same prompts about all, to read the states of a model at: a question and two sentences an attribute."""
        return [
            item
            for name in names
            for attribute in self.world.attributes
            for item in (
                wordings.question(self.kind, attribute, 0, name, REFUSAL),
                *(wordings.statement(self.kind, attribute, i, name, REFUSAL) for i in (0, 1)),
            )
        ]


def paragraphs(path: str) -> list[str]:
    """The paragraphs of a text file, an empty line between them.

    Raises:
        UserError: it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.text={path}: cannot be read ({error}); give a UTF-8 text file") from error
    return [part.strip() for part in text.split("\n\n") if part.strip()]
