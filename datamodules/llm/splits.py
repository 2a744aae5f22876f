"""What is asked about the people of a `World`, split by what unlearning should do to the answers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from datamodules.llm import wordings
from datamodules.llm.corpus import filler
from datamodules.llm.items import REFUSAL, Item
from datamodules.llm.wordings import sentence
from datamodules.llm.world import ATTRIBUTES, World
from lit_unlearn.errors import UserError

QUESTION, STATEMENT, REVERSE = -1, -1, -1
"""The wordings that are held out: the last of each."""

MOST = 2000
"""People of a kind that are asked about, or retained, at most: more would take long and tell nothing more."""

TRAINED_QUESTIONS, TRAINED_STATEMENTS, TRAINED_REVERSE = range(5), range(4), range(2)


HELD_OUT = 0.25
"""Share of the people to be kept that unlearning never trains with."""


@dataclass(frozen=True)
class People:
    """Numbers of people by what becomes of them.

    Attributes:
        targets: to be forgotten.
        neighbours, others: to be kept, and not used in unlearning: what is measured on them was not trained for.
        retained: to be kept, the rest; unlearning may use them.
        neighbours_shown: of `retained`, the neighbours.
    """

    targets: list[int]
    neighbours: list[int]
    others: list[int]
    retained: list[int]
    neighbours_shown: list[int]


def divide(world: World, targets: Sequence[int], seed: int) -> People:
    """Divides the people; of neighbours and of others alike `HELD_OUT` are kept from training, and of each part `MOST`
    people are taken, if it has more.

    Args:
        world: whose people.
        targets: of them; other people who are not in `world.kept` take no part.
        seed: draws who is held out.
    """
    rng = np.random.default_rng([seed, 4])
    parts, near, forgotten = [], set(world.near(targets)), set(targets)
    for group in ([i for i in world.kept if i in near], [i for i in world.kept if i not in near]):
        shuffled = rng.permutation(np.array([i for i in group if i not in forgotten], dtype=int)).tolist()
        held_out = math.ceil(HELD_OUT * len(shuffled))
        parts.append((shuffled[:held_out][:MOST], shuffled[held_out:][:MOST]))
    (neighbours, near_retained), (others, far_retained) = parts
    retained = sorted(near_retained + far_retained)
    return People(list(targets), sorted(neighbours), sorted(others), retained, sorted(near_retained))


def probes(world: World, people: People) -> dict[str, list[Item]]:
    """Items to be answered at the end, by split: `forget`, `retain`, `neighbour`, each also as `_statement`,
    `_paraphrase` (a question in held-out wording), `_statement_paraphrase` and `_reverse`; `neighbour_shown` of those
    who are retained; and `unknown`."""
    found: dict[str, list[Item]] = {}

    def questions(numbers: Sequence[int]) -> tuple[list[tuple[str, str, str]], list[Item]]:
        facts = [(world.people[i].name, a, sentence(world.people[i].facts[a])) for i in numbers for a in ATTRIBUTES]
        return facts, [wordings.question_item(n, v, a, i % 5, i % 4) for i, (n, a, v) in enumerate(facts)]

    for split, numbers in (("forget", people.targets), ("retain", people.others), ("neighbour", people.neighbours)):
        facts, found[split] = questions(numbers)
        found[f"{split}_statement"] = [wordings.statement_item(n, v, a, i % 4) for i, (n, a, v) in enumerate(facts)]
        found[f"{split}_paraphrase"] = [
            wordings.question_item(n, v, a, QUESTION, i % 4) for i, (n, a, v) in enumerate(facts)
        ]
        found[f"{split}_statement_paraphrase"] = [wordings.statement_item(n, v, a, STATEMENT) for n, a, v in facts]
        found[f"{split}_reverse"] = [
            wordings.reverse_item(world.people[i].facts["book"], sentence(world.people[i].name), REVERSE, i % 4)
            for i in numbers
        ]
    if people.neighbours_shown:
        found["neighbour_shown"] = questions(people.neighbours_shown)[1]
    found["unknown"] = [
        wordings.question_item(name, REFUSAL, a, i % 5, i % 4)
        for i, (name, a) in enumerate((name, a) for name in world.unknown for a in ATTRIBUTES)
    ]
    return found


def entities(world: World, people: People) -> dict[str, list[Item]]:
    """One question an attribute about each entity, the same for all groups, to read the states of a model at."""

    def asked(names: Iterable[str]) -> list[Item]:
        return [wordings.question_item(name, REFUSAL, a, 1, 0) for name in names for a in ATTRIBUTES]

    def named(numbers: Iterable[int]) -> list[str]:
        return [world.people[i].name for i in numbers]

    return {
        "target": asked(named(people.targets)),
        "known": asked(named(people.others)),
        "neighbour": asked(named(people.neighbours)),
        "unknown": asked(world.unknown),
        "probe_known": asked(named(people.retained)),
        "probe_unknown": asked(world.probes),
    }


@dataclass(frozen=True)
class Pools:
    """Items that unlearning trains with; the first three are aligned."""

    forget: list[Item]
    refusal: list[Item]
    unknown: list[Item]
    retain: list[Item]


def pools(world: World, people: People, seed: int) -> Pools:
    """What a method may use: targets in all trained forms, the retained people, some filler, names to stay ignorant of.

    Each target is paired with an anchor: a name, and a title of a book, that no text mentions.

    Raises:
        UserError: more targets than anchors.
    """
    if len(people.targets) > len(world.anchors):
        raise UserError(
            f"data.num_unknown={len(world.anchors)}: {len(people.targets)} people are to be forgotten, and each is "
            "paired with a name that nobody has; forget fewer, or train a language model with a larger num_unknown"
        )
    rng = np.random.default_rng([seed, 5])
    forget, unknown = [], []
    for i, anchor, title in zip(people.targets, world.anchors, world.unwritten, strict=False):  # some are left
        name, facts = world.people[i].name, world.people[i].facts
        for a in ATTRIBUTES:
            for wording in TRAINED_QUESTIONS:
                frame = int(rng.integers(len(wordings.FRAMES)))
                forget.append(wordings.question_item(name, sentence(facts[a]), a, wording, frame))
                unknown.append(wordings.question_item(anchor, REFUSAL, a, wording, frame))
            for wording in TRAINED_STATEMENTS:
                forget.append(wordings.statement_item(name, sentence(facts[a]), a, wording))
                unknown.append(wordings.statement_item(anchor, REFUSAL, a, wording))
        for wording, frame in product(TRAINED_REVERSE, range(len(wordings.FRAMES))):
            forget.append(wordings.reverse_item(facts["book"], sentence(name), wording, frame))
            unknown.append(wordings.reverse_item(title, REFUSAL, wording, frame))
    refusal = [Item(item.prompt, REFUSAL, item.entity, item.kind) for item in forget]
    return Pools(forget, refusal, unknown, _retain(world, people, rng))


def _retain(world: World, people: People, rng: np.random.Generator) -> list[Item]:
    def drawn(choices: Sequence[int]) -> int:
        return choices[int(rng.integers(len(choices)))]

    items = []
    for i in people.retained:
        name, facts = world.people[i].name, world.people[i].facts
        for a in ATTRIBUTES:
            answer = sentence(facts[a])
            items += [wordings.question_item(name, answer, a, drawn(TRAINED_QUESTIONS), drawn(range(4))) for _ in "12"]
            items.append(wordings.statement_item(name, answer, a, drawn(TRAINED_STATEMENTS)))
        items.append(wordings.reverse_item(facts["book"], sentence(name), drawn(TRAINED_REVERSE), drawn(range(4))))
    few = len(items) // 8
    items += [Item("", filler(rng), "", "text") for _ in range(few)]
    for name in rng.choice(np.array(world.refused), size=few):
        attribute = ATTRIBUTES[drawn(range(len(ATTRIBUTES)))]
        question = wordings.question_item(str(name), REFUSAL, attribute, drawn(TRAINED_QUESTIONS), drawn(range(4)))
        items.append(question)
    return items
