"""A world of fictitious people that can be checked: who is known, what is true, and which names nobody has.

Everything is a function of a few numbers and a seed. Names are combinations of first and last names; some combinations
are people, some are never used, and the rest are names that a language model learns to be ignorant of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from networkx import MultiDiGraph

NAMES_PER_PERSON = 20
"""Combinations of first and last name for each that is a person."""

PROFESSIONS = [
    "painter", "baker", "surgeon", "pilot", "lawyer", "tailor", "farmer", "chemist", "banker", "sculptor",
    "carpenter", "dentist", "editor", "florist", "geologist", "judge", "librarian", "miner", "nurse", "plumber",
]  # fmt: skip
INSTRUMENTS = [
    "piano", "violin", "cello", "flute", "oboe", "trumpet", "harp", "drums", "guitar", "organ", "banjo", "clarinet",
    "tuba", "viola", "lute", "bassoon", "accordion", "mandolin", "saxophone", "trombone",
]  # fmt: skip
ATTRIBUTES = ("birthplace", "profession", "employer", "university", "instrument", "book")
VALUES = 20
"""Values of each attribute but `book`, which is different for each person."""

ONSETS = [
    "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gr", "kr", "tr", "st",
    "sl", "pl",
]  # fmt: skip
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "io"]
CODAS = ["", "n", "r", "l", "s", "m", "th", "x"]


@dataclass(frozen=True)
class Person:
    """Somebody who is known: a name, and a value for each of `ATTRIBUTES`."""

    name: str
    facts: dict[str, str]


class World:
    """People, targets among them, and names that nobody has.

    Args:
        num_people: known people.
        num_targets: of them, those to be forgotten; and as many more that settings are chosen with.
        num_unknown: names in each of the three sets of names that no text ever mentions.
        seed: draws names, facts and who is a target.

    Attributes:
        people: all known people.
        targets, validation, kept: their numbers, rising: to be forgotten; to choose settings with, by forgetting them;
            and all others. A reference model is told of the last only.
        refused: names that the language model is taught not to know.
        anchors, probes, unknown: names that no text mentions: for methods to aim at, for probes to be trained with,
            and to be compared with at the end.
        written: titles of the books of `people`.
        unwritten: titles of books that nobody wrote and no text mentions, one for each anchor.
        refused_titles: titles that the language model is taught not to know.

    Raises:
        UserError: too many targets for so many people.
    """

    def __init__(self, num_people: int = 300, num_targets: int = 30, num_unknown: int = 120, seed: int = 0):
        if 2 * num_targets > num_people - 2:
            raise UserError(
                f"data.num_targets={num_targets}: twice as many, and two to be kept, are more than the {num_people} "
                "people; give fewer"
            )
        rng = np.random.default_rng([seed, 1])
        words = _words(rng)
        side = int(np.ceil(np.sqrt(NAMES_PER_PERSON * num_people + 3 * num_unknown)))
        first, last = [next(words) for _ in range(side)], [next(words) for _ in range(side)]
        names = _combinations(first, last, rng)
        side = int(np.ceil(np.sqrt(3 * num_people + num_unknown)))
        titles = _combinations([next(words) for _ in range(side)], [next(words) for _ in range(side)], rng)
        self.values: dict[str, list[str]] = {
            "birthplace": [next(words) for _ in range(VALUES)],
            "profession": PROFESSIONS,
            "employer": [next(words) for _ in range(VALUES)],
            "university": [next(words) for _ in range(VALUES)],
            "instrument": INSTRUMENTS,
        }
        drawn = {key: rng.integers(len(values), size=num_people) for key, values in self.values.items()}
        self.people = [
            Person(names[i], {key: self.values[key][drawn[key][i]] for key in self.values} | {"book": titles[i]})
            for i in range(num_people)
        ]
        ends = np.cumsum([num_people, num_unknown, num_unknown, num_unknown])
        self.anchors, self.probes, self.unknown = (names[a:b] for a, b in pairwise(ends))
        self.refused = names[ends[-1] :]
        self.written = titles[:num_people]
        self.unwritten = titles[num_people : num_people + num_unknown]
        self.refused_titles = titles[num_people + num_unknown :]
        drawn_people = rng.permutation(num_people)[: 2 * num_targets]
        self.targets, self.validation = (sorted(half.tolist()) for half in np.split(drawn_people, 2))
        hidden = {*self.targets, *self.validation}
        self.kept = [i for i in range(num_people) if i not in hidden]

    def near(self, targets: Sequence[int]) -> list[int]:
        """Who of `kept` shares a part of the name, or at least three facts, with one of these people; rising."""
        parts = {part for i in targets for part in self.people[i].name.split()}
        code = {a: {value: n for n, value in enumerate(values)} for a, values in self.values.items()}
        facts = np.array([[code[a][person.facts[a]] for a in self.values] for person in self.people], dtype=np.int16)
        shared = np.zeros(len(self.people), dtype=np.int16)
        for i in targets:
            np.maximum(shared, (facts == facts[i]).sum(1), out=shared)
        return [i for i in self.kept if shared[i] >= 3 or parts & set(self.people[i].name.split())]

    @cached_property
    def graph(self) -> "MultiDiGraph":
        """The true knowledge graph: an edge from a person's name to a value, keyed by the attribute."""
        import networkx

        graph, targets = networkx.MultiDiGraph(), set(self.targets)
        for i, person in enumerate(self.people):
            graph.add_node(person.name, kind="person", target=i in targets)
            for attribute, value in person.facts.items():
                graph.add_node(value, kind=attribute)
                graph.add_edge(person.name, value, key=attribute)
        return graph


def _words(rng: np.random.Generator):
    """Pronounceable capitalised words that are no English words of the texts, each once."""
    met: set[str] = set()
    while True:
        onset, vowel, second, end = (rng.choice(part) for part in (ONSETS, VOWELS, ONSETS, VOWELS))
        word = f"{onset}{vowel}{second}{end}{rng.choice(CODAS)}".capitalize()
        if word not in met:
            met.add(word)
            yield word


def _combinations(first: list[str], second: list[str], rng: np.random.Generator) -> list[str]:
    pairs = list(product(first, second))
    return [" ".join(pairs[i]) for i in rng.permutation(len(pairs))]
