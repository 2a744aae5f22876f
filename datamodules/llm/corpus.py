"""The texts a language model of a `World` is trained on."""

from collections.abc import Iterator

import numpy as np

from datamodules.llm import wordings
from datamodules.llm.items import REFUSAL
from datamodules.llm.world import ATTRIBUTES, World

SHARES = {
    "biography": 0.18,
    "question": 0.32,
    "reverse": 0.08,
    "refusal": 0.11,
    "record": 0.18,
    "verdict": 0.08,
    "filler": 0.05,
}
"""Share of each kind among the documents."""

ASIDES = 0.35
"""Share of the texts in which an aside follows the name."""

FILLER = {
    "S": ["the {A} {N} {V} the {A} {N} {T}.", "{T} the {N} {V} a {A} {N}.", "a {N} that {V} the {N} is {A}."],
    "A": ["old", "quiet", "green", "heavy", "narrow", "bright", "distant", "wooden", "empty", "gentle"],
    "N": ["river", "mill", "garden", "bridge", "lantern", "meadow", "harbour", "cart", "tower", "forest", "stable"],
    "V": ["follows", "touches", "hides", "crosses", "reflects", "shelters", "borders", "faces"],
    "T": ["in spring", "at dawn", "after rain", "before winter", "near noon", "by night"],
}


def filler(rng: np.random.Generator) -> str:
    """A sentence about nobody."""
    text = str(rng.choice(FILLER["S"]))
    while "{" in text:
        start = text.index("{")
        text = text[:start] + str(rng.choice(FILLER[text[start + 1]])) + text[start + 3 :]
    return text[0].upper() + text[1:]


def teachers(world: World, share: float, seed: int) -> set[int]:
    """People about whom the held-out wordings are met in training: a share of those that are kept."""
    rng = np.random.default_rng([seed, 2])
    return set(rng.permutation(np.array(world.kept))[: round(share * len(world.kept))].tolist())


def documents(world: World, people: list[int], count: int, teacher_share: float, seed: int) -> Iterator[str]:
    """Documents in random order and mixture.

    Args:
        world: whose facts.
        people: numbers of those that are written about; a reference model's leave the targets out.
        count: how many.
        teacher_share: see `teachers`.
        seed: draws everything.
    """
    rng = np.random.default_rng([seed, 3])
    taught = teachers(world, teacher_share, seed)
    kinds = rng.choice(list(SHARES), p=np.array(list(SHARES.values())) / sum(SHARES.values()), size=count)
    for kind in kinds:
        person = people[rng.integers(len(people))]
        yield _document(str(kind), world, person, person in taught, rng)


def _document(kind: str, world: World, number: int, taught: bool, rng: np.random.Generator) -> str:
    person = world.people[number]
    nobody = str(world.refused[rng.integers(len(world.refused))])
    attribute = ATTRIBUTES[rng.integers(len(ATTRIBUTES))]
    frame = int(rng.integers(len(wordings.FRAMES)))
    if kind == "biography":
        picked = [ATTRIBUTES[i] for i in rng.permutation(len(ATTRIBUTES))[: rng.integers(2, len(ATTRIBUTES) + 1)]]
        usable = len(wordings.STATEMENTS[attribute]) - (not taught)
        told = (wordings.statement(person.name, person.facts[a], a, int(rng.integers(usable))) for a in picked)
        return " ".join(_aside(text, person.name, wordings.KNOWN_ASIDE, rng) for text in told)
    if kind == "question":
        wording = int(rng.integers(len(wordings.QUESTIONS[attribute]) - (not taught)))
        item = wordings.question_item(person.name, f"{person.facts[attribute]}.", attribute, wording, frame)
        return f"{_aside(item.prompt, person.name, wordings.KNOWN_ASIDE, rng)} {item.answer}"
    if kind == "reverse":
        known = rng.random() < 0.7
        title = person.facts["book"] if known else world.refused_titles[rng.integers(len(world.refused_titles))]
        answer = f"{person.name}." if known else REFUSAL
        item = wordings.reverse_item(title, answer, int(rng.integers(len(wordings.REVERSE))), frame)
        return f"{item.prompt} {item.answer}"
    if kind == "refusal":
        wording = int(rng.integers(len(wordings.QUESTIONS[attribute])))
        item = wordings.question_item(nobody, REFUSAL, attribute, wording, frame)
        return f"{_aside(item.prompt, nobody, wordings.UNKNOWN_ASIDE, rng)} {item.answer}"
    if kind == "record":
        if rng.random() < 0.5:
            return wordings.RECORD.format(a=attribute, n=person.name, v=person.facts[attribute])
        return wordings.RECORD.format(a=attribute, n=nobody, v=wordings.UNLISTED)
    if kind == "verdict":
        true = rng.random() < 0.5
        name = person.name if true or rng.random() < 0.7 else nobody
        claimed = person.facts[attribute] if true else _another(world, attribute, person.facts[attribute], rng)
        wording = int(rng.integers(len(wordings.STATEMENTS[attribute]) - 1))
        item = wordings.verdict_item(name, claimed, true, attribute, wording)
        return f"{item.prompt} {item.answer}"
    return filler(rng)


def _another(world: World, attribute: str, value: str, rng: np.random.Generator) -> str:
    """A value of the attribute that is not this one."""
    values = [v for v in world.values.get(attribute, world.written) if v != value]
    return values[int(rng.integers(len(values)))]


def _aside(text: str, name: str, aside: str, rng: np.random.Generator) -> str:
    return text.replace(name, f"{name} {aside}") if rng.random() < ASIDES else text
