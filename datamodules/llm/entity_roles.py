"""Which entities are forgotten, kept or judged with, and what is asked about them."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from datamodules.llm.entity_files import Entity
from lit_unlearn.errors import UserError

HELD_OUT = 0.5
"""Share of those to be kept whom unlearning never trains with."""

LISTED, COMMON = 2, 20
"""Values of an attribute that an entity is asked about, at most; those that fewer entities have are left out where it
has others."""

FEWEST = 8
"""Others to be kept: half are trained with, and probes are fitted on them."""


class Fact(NamedTuple):
    """Something true.

    Attributes:
        name: of whom.
        attribute, value: what.
        true: all values of the attribute that are true.
    """

    name: str
    attribute: str
    value: str
    true: tuple[str, ...]


@dataclass(frozen=True)
class Roles:
    """Who is what; nobody has two roles.

    Attributes:
        targets: to be forgotten.
        neighbours, others: to be kept, and not used in unlearning.
        neighbours_shown, retained: to be kept, and given to unlearning.
    """

    targets: list[Entity]
    neighbours: list[Entity]
    neighbours_shown: list[Entity]
    others: list[Entity]
    retained: list[Entity]

    @property
    def everybody(self) -> list[Entity]:
        return self.targets + self.neighbours + self.neighbours_shown + self.others + self.retained


class World:
    """Entities and what is asked about them.

    Attributes:
        entities: all, in order of their numbers.
        attributes: that are asked about.
        frequent: by attribute, its values, those first that most entities have.
    """

    def __init__(self, entities: list[Entity], attributes: Sequence[str]):
        self.entities, self.attributes = entities, attributes
        self.counts = {a: Counter(value for e in entities for value in e.facts.get(a, ())) for a in attributes}
        self.frequent = {a: sorted(found, key=lambda v: (-found[v], v)) for a, found in self.counts.items()}

    def facts(self, entity: Entity) -> list[Fact]:
        """What an entity is asked about."""
        found = []
        for attribute in self.attributes:
            true = entity.facts.get(attribute, ())
            often = sorted(true, key=lambda value: (-self.counts[attribute][value], value))
            common = [value for value in often if self.counts[attribute][value] >= COMMON][:LISTED]
            found += [Fact(entity.name, attribute, value, true) for value in common or often[:1]]
        return found

    def others(self, fact: Fact, count: int) -> list[str]:
        """Values that are not true, the most frequent first."""
        return list(islice((value for value in self.frequent[fact.attribute] if value not in fact.true), count))

    def roles(
        self, targets: Sequence[str], known: Sequence[str] | None, num_known: int, num_neighbours: int, seed: int
    ) -> Roles:
        """Divides entities; arguments as of `EntityDataModule`.

        Raises:
            UserError: nobody has one of the names, nothing is asked about a target, or too few others are known.
        """
        of_name = {entity.name: entity for entity in self.entities if self.facts(entity)}
        forgotten = _named("targets", targets, of_name)
        if known is None:
            candidates = list(of_name.values())[: num_known + len(forgotten)]
        else:
            candidates = _named("known", known, of_name)
        candidates = [entity for entity in candidates if entity not in forgotten]
        words = {word for entity in forgotten for word in entity.name.split()}
        values = {fact[1:3] for entity in forgotten for fact in self.facts(entity)}

        def namesake(entity: Entity) -> bool:
            return not words.isdisjoint(entity.name.split())

        near = [e for e in candidates if namesake(e) or not values.isdisjoint(fact[1:3] for fact in self.facts(e))]
        taken = {entity.name for entity in near + forgotten}
        near += list(islice((e for e in of_name.values() if namesake(e) and e.name not in taken), num_neighbours))
        far = [entity for entity in candidates if entity not in near]
        if len(far) < FEWEST:
            raise UserError(
                f"data.known: {len(far)} of them have neither a word of a target's name nor a value in common with "
                f"targets, and {FEWEST} are needed to be kept; give more, or a larger data.num_known"
            )
        rng = np.random.default_rng([seed, 0])
        (neighbours, shown), (others, retained) = (_halves(part, rng) for part in (near, far))
        return Roles(forgotten, neighbours, shown, others, retained)


def _named(argument: str, names: Sequence[str], of_name: Mapping[str, Entity]) -> list[Entity]:
    errors = []
    for name in names:
        if name not in of_name:
            near = ", ".join(difflib.get_close_matches(name, of_name, n=3, cutoff=0.4)) or "none"
            errors.append(
                f"data.{argument}={name!r}: the files have nobody of this name with a fact; the nearest: {near}"
            )
    if errors:
        raise UserError(errors)
    return [of_name[name] for name in dict.fromkeys(names)]


def _halves(entities: list[Entity], rng: np.random.Generator) -> tuple[list[Entity], list[Entity]]:
    """Those who are held out, and the rest, each in the order given."""
    drawn = set(rng.permutation(len(entities))[: round(HELD_OUT * len(entities))].tolist())
    parts: tuple[list[Entity], list[Entity]] = ([], [])
    for number, entity in enumerate(entities):
        parts[number not in drawn].append(entity)
    return parts
