"""People of a `World` as concepts to be forgotten: a name each, and what is asked about them at the end.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from itertools import combinations
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from datamodules.llm import wordings
from datamodules.llm.biographies import Biographies
from datamodules.llm.concepts.base import ConceptDataModule, Hops, named
from datamodules.llm.corpus import filler
from datamodules.llm.items import REFUSAL, Item
from datamodules.llm.splits import QUESTION, REVERSE, STATEMENT, TRAINED_QUESTIONS, TRAINED_STATEMENTS
from datamodules.llm.wordings import sentence
from datamodules.llm.world import ATTRIBUTES, Person

Attribute = Literal["birthplace", "profession", "employer", "university", "instrument", "book"]


class ConceptBiographies(ConceptDataModule, Biographies):
    """Targets of which only the names are given; some relations are never trained with.

    What somebody has written about the targets, in the pools, leaves the held-out relations out.

    Args:
        aliases: other names, by name.
        heldout_families: relations that no method trains with; the book is the only one that can be asked backwards.
        num_generic: sentences about nobody that are retained, and as many refusals to say what nobody can know.
        biographies: see `Biographies`.
    """

    def __init__(
        self,
        tokenizer: str,
        aliases: dict[str, list[str]] | None = None,
        heldout_families: list[Attribute] | None = None,
        num_generic: Annotated[int, Field(ge=0)] = 200,
        **biographies,
    ):
        super().__init__(tokenizer=tokenizer, **biographies)
        self.aliases, self.num_generic = aliases, num_generic
        self.heldout_families = ["employer", "instrument"] if heldout_families is None else list(heldout_families)

    def setup(self, stage: str) -> None:
        if hasattr(self, "pools"):  # a method may have given others
            return
        super().setup(stage)
        self.concepts = named(self.forgotten, self.aliases)
        told = [self.world.people[i] for i in self.people.targets]
        self.held_out = [self.world.people[i].name for i in self.people.neighbours + self.people.others]
        self.written = {person.name: self._sentences(person) for person in told}
        rng = np.random.default_rng([self.world_seed, 7])
        self.generic = [Item("", filler(rng), "", "text") for _ in range(self.num_generic)]
        self.generic += [self._refused(rng) for _ in range(self.num_generic)]
        self.recall = {name: self.encoded(items) for name, items in self._asked(told).items() if items}
        self.hops = self._hops(told)
        self.true_edges = {person.name: set(person.facts.items()) for person in told}

    def fill(self, forget: list[Item], refusal: list[Item], unknown: list[Item], retain: list[Item]) -> None:
        """Leaves out what is asked about held-out relations."""
        names = {item.entity for item in forget}
        held_out = {prompt for name in names for a in self.heldout_families for prompt in _prompts(name, a)}
        rows = [i for i, item in enumerate(forget) if item.prompt not in held_out]
        super().fill(*([pool[i] for i in rows] for pool in (forget, refusal, unknown)), retain)  # type: ignore[call-arg]

    @property
    def trained_families(self) -> list[str]:
        """The relations that are not held out."""
        return [a for a in ATTRIBUTES if a not in self.heldout_families]

    def _sentences(self, person: Person) -> list[str]:
        return [
            wordings.statement(person.name, person.facts[a], a, wording)
            for a in self.trained_families
            for wording in TRAINED_STATEMENTS
        ]

    def _asked(self, people: list[Person]) -> dict[str, list[Item]]:
        """By row; every relation as a question and as a sentence."""
        found: dict[str, list[Item]] = {}
        for split, families in (("trained", self.trained_families), ("heldout", self.heldout_families)):
            facts = [(p.name, sentence(p.facts[a]), a) for p in people for a in families]
            found[f"edge_recall/{split}"] = [
                item
                for i, (n, v, a) in enumerate(facts)
                for item in (
                    wordings.question_item(n, v, a, i % len(TRAINED_QUESTIONS), i % 4),
                    wordings.statement_item(n, v, a, i % len(TRAINED_STATEMENTS)),
                )
            ]
            found[f"edge_recall/{'' if split == 'trained' else 'heldout_'}paraphrase"] = [
                item
                for i, (n, v, a) in enumerate(facts)
                for item in (
                    wordings.question_item(n, v, a, QUESTION, i % 4),
                    wordings.statement_item(n, v, a, STATEMENT),
                )
            ]
        for i, person in enumerate(people):
            name, book = sentence(person.name), person.facts["book"]
            backwards = [wordings.reverse_item(book, name, w, (i + w) % 4) for w in (0, 1)]
            found.setdefault("node_recall/trained", []).extend(backwards)
            held_out = [wordings.reverse_item(book, name, REVERSE, frame) for frame in range(4)]
            found.setdefault("node_recall/heldout", []).extend(held_out)
            for size, split in ((1, "one_fact"), (2, "two_facts"), (3, "three_facts")):
                found.setdefault(f"node_recall/{split}", []).extend(_described(person, size))
        return found

    def _refused(self, rng: np.random.Generator) -> Item:
        """A question about a name that the model was taught not to know."""
        name, a = str(rng.choice(self.world.refused)), ATTRIBUTES[int(rng.integers(len(ATTRIBUTES)))]
        return wordings.question_item(name, REFUSAL, a, int(rng.integers(len(TRAINED_QUESTIONS))), int(rng.integers(4)))

    def _hops(self, people: list[Person]) -> Hops:
        first, second = [], []
        for i, person in enumerate(people):
            for a in ATTRIBUTES[:-1]:
                first.append(wordings.reverse_item(person.facts["book"], sentence(person.name), i % 2, i % 4))
                second.append(wordings.question_item(person.name, sentence(person.facts[a]), a, i % 5, i % 4))
        return Hops(self.encoded(first), self.encoded(second))


def _described(person: Person, size: int) -> list[Item]:
    """Who is it that did all this? The book comes last, as in no description that is trained with."""
    others = [a for a in ATTRIBUTES if a != "book"]
    found = []
    for i, chosen in enumerate(combinations(others, size - 1)):
        facts = [wordings.STATEMENTS[a][0].removeprefix("{n} ").rstrip(".").format(v=person.facts[a]) for a in chosen]
        told = ", ".join(facts) + (" and " if facts else "") + f"wrote {person.facts['book']}"
        prompt = wordings.FRAMES[i % 4].format(q=f"Who {told}?")
        found.append(Item(prompt, sentence(person.name), person.facts["book"], "reverse"))
    return found


def _prompts(name: str, attribute: str) -> list[str]:
    """All that is ever asked about somebody's attribute."""
    questions = range(len(wordings.QUESTIONS[attribute]))
    statements = range(len(wordings.STATEMENTS[attribute]))
    return [
        *(wordings.question_item(name, "", attribute, i, frame).prompt for i in questions for frame in range(4)),
        *(wordings.statement_item(name, "", attribute, i).prompt for i in statements),
    ]
