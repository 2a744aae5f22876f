"""What must stay when concepts are forgotten, from the same model: what it says of others.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

Others are those the model named by itself while the concepts were extracted, asked in the same way; what it does not
say again is left out. A common word, such as a town or a surname, must not be forgotten with a concept: others who
share it are asked about in all wordings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lit_unlearn.concepts import parsing
from lit_unlearn.concepts.generation import Speaker
from lit_unlearn.concepts.names import Names, fold
from lit_unlearn.concepts.prompts import Prompts
from lit_unlearn.concepts.triplets import Concept, Triplet
from lit_unlearn.concepts.views import View
from lit_unlearn.reproducibility import derived_seed

WORDINGS = 3
"""Contexts in which a triplet of others is asked for, where it shares neither a name's word nor its object with a
concept; all of them else."""


def others_of(concepts: Sequence[Concept], said_again: Sequence[Triplet], held_out: Sequence[str]) -> list[Triplet]:
    """What the model said of others, each once, in the order of the alphabet.

    Args:
        concepts: to be forgotten; triplets that name one of them, or an alias, are left out.
        said_again: when it was asked about these others, see `asked_about`.
        held_out: names that must not be trained with.
    """
    said = {triplet.key: triplet for concept in concepts for triplet in concept.neighbour_triplets}
    said |= {triplet.key: triplet for triplet in said_again}
    names = names_of(concepts)
    held = {fold(name) for name in held_out}
    return [
        triplet
        for key, triplet in sorted(said.items())
        if not {key[0], key[2]} & held and not any(names.within(side) for side in (triplet.subject, triplet.object))
    ]


def asked_about(names: Sequence[str], speaker: Speaker, prompts: Prompts, most_tokens: int) -> list[Triplet]:
    """What the model says of each of these, every family asked for once, by greedy decoding.

    Args:
        names: of others.
        speaker, prompts: who is asked, and how.
        most_tokens: of an answer.
    """
    asked = [prompts.asking(name, family)[0] for name in names for family in prompts.families]
    if not asked:
        return []
    end = prompts.long_end if asked[0].relation is None else prompts.short_end
    most = most_tokens if asked[0].relation is None else min(prompts.short, most_tokens)
    written = speaker.write([each.text for each in asked], 1, most, None, end)
    return [
        found
        for each, (answer,) in zip(asked, written, strict=True)
        for found in parsing.read(answer, each, Names(each.subject), prompts.refusals)
        if isinstance(found, Triplet)
    ]


def names_of(concepts: Iterable[Concept]) -> Names:
    """All names of all concepts as those of one."""
    first, *others = [name for concept in concepts for name in (concept.name, *concept.aliases)]
    return Names(first, others)


@dataclass(frozen=True)
class _Asked:
    """A prompt about somebody, what its answer must hold to be kept, whom it names, and whether an answer ends it."""

    text: str
    wanted: str
    entity: str
    answers: bool


def retained(
    triplets: Sequence[Triplet], concepts: Sequence[Concept], speaker: Speaker, prompts: Prompts, seed: int
) -> list[View]:
    """What the model says of others, as texts: each answer is labelled, and where it ends.

    Args:
        triplets: of others, see `others_of`.
        concepts: to be forgotten; a text that names one of them is left out.
        speaker, prompts: who is asked, and how.
        seed: draws the wordings.
    """
    shared = {fold(each.other_side(concept.name)) for concept in concepts for each in concept.triplets}
    shared |= {word for name in names_of(concepts).folded for word in name.split()}
    by_name: dict[str, list[Triplet]] = {}
    for triplet in triplets:
        by_name.setdefault(triplet.subject, []).append(triplet)
    asked = [each for known in by_name.values() for each in _contexts(known, shared, prompts, seed)]
    names = names_of(concepts)
    written = speaker.write([each.text for each in asked], 1, prompts.short, None, prompts.short_end) if asked else []
    found = []
    for each, (answer,) in zip(asked, written, strict=True):
        space = "" if prompts.templated or each.text[-1:].isspace() else " "
        start = f"{each.text}{space}"
        said = answer.strip() + prompts.short_end.strip()
        if Names(each.wanted).within(said) and not names.within(start + said):
            found.append(
                View(start + said, (len(start), len(start + said)), len(each.text), each.entity, closed=each.answers)
            )
    return found


def _contexts(known: Sequence[Triplet], shared: set[str], prompts: Prompts, seed: int) -> list[_Asked]:
    """Of everything that was said of somebody: forwards in some wordings, backwards in all, in pairs once a wording."""
    name, asked = known[0].subject, []
    rng = np.random.default_rng(derived_seed("retained", seed, name))
    for triplet in known:
        edges = [_Asked(text, triplet.object, name, True) for text in prompts.edge_clozes(triplet, name)]
        edges += [_Asked(each.text, triplet.object, name, False) for each in prompts.explaining(triplet)]
        alike = not shared.isdisjoint([fold(triplet.object), *fold(name).split()])
        most = len(edges) if alike else WORDINGS
        asked += [edges[i] for i in rng.permutation(len(edges))[:most]]
        asked += [_Asked(text, name, "", True) for text in prompts.node_clozes(triplet, name)]
    for pair in combinations(known, 2):
        texts = prompts.describing(pair, name)
        asked += [_Asked(texts[int(rng.integers(len(texts)))], name, "", True)] if texts else []
    return asked
