"""What is trained with when a concept is to be forgotten: texts with the characters that must not be said.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

Two views of a graph. Edge view: the context names the concept and a relation, what must not be said is where the edge
leads. Node view: the context holds relations and where they lead but no name of the concept, what must not be said is
its name. A sentence is an edge view where the concept comes first, a node view where it comes last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from lit_unlearn.concepts.names import Names
from lit_unlearn.concepts.prompts import Prompts
from lit_unlearn.concepts.triplets import Concept, Sentence, Triplet
from lit_unlearn.reproducibility import derived_seed

LabelScope = Literal["span", "sentence"]


@dataclass(frozen=True)
class View:
    """A text of which a part is judged.

    Attributes:
        text: context and what follows it.
        span: characters [start, end) that are labelled.
        context: characters before what must not be said: a refusal would stand there.
        entity: whom or what the text is about, as it is written in it; empty where it is not named.
        triplets: numbers of the triplets it says.
        answers: whether it answers a prompt, so that a refusal would end it.
        closed: whether an end of text follows and is labelled.
    """

    text: str
    span: tuple[int, int]
    context: int
    entity: str = ""
    triplets: tuple[int, ...] = ()
    answers: bool = False
    closed: bool = False


@dataclass(frozen=True)
class Views:
    """Both views of a concept."""

    edges: list[View]
    nodes: list[View]


def views_of(concept: Concept, prompts: Prompts, sizes: Sequence[int], scope: LabelScope, seed: int) -> Views:
    """All views of a concept's graph.

    Args:
        concept: with its sentences.
        prompts: whose clozes and descriptions are used besides the sentences.
        sizes: how many facts a description holds; one alone is asked where it fits nobody else.
        scope: `sentence` labels the whole text instead.
        seed: draws which facts are described together, where there are many.
    """
    names = Names(concept.name, concept.aliases)
    edges, nodes = [], []
    for number, triplet in enumerate(concept.triplets):
        other = triplet.other_side(concept.name)
        edges += [followed(text, other, prompts, concept.name, (number,)) for text in
                  prompts.edge_clozes(triplet, concept.name)]  # fmt: skip
        if 1 in sizes:
            nodes += [
                followed(text, concept.name, prompts, "", (number,))
                for text in prompts.node_clozes(triplet, concept.name)
            ]
        for sentence in concept.sentences_of(number):
            view, is_edge = _of_sentence(sentence, triplet, concept.name)
            (edges if is_edge else nodes).append(view)
    for size in (size for size in sizes if size > 1):
        nodes += _described(concept, prompts, size, seed)
    nodes = [view for view in nodes if not names.within(view.text[: view.context])]
    if scope == "sentence":
        edges, nodes = ([_whole(view) for view in kind] for kind in (edges, nodes))
    return Views(edges, nodes)


def followed(prompt: str, answer: str, prompts: Prompts, entity: str, triplets: tuple[int, ...] = ()) -> View:
    """An answer after a prompt, and nothing after it."""
    start = prompt if prompts.templated or prompt[-1:].isspace() else f"{prompt} "
    return View(start + answer, (len(start), len(start) + len(answer)), len(prompt), entity, triplets, answers=True)


def _of_sentence(sentence: Sentence, triplet: Triplet, name: str) -> tuple[View, bool]:
    concept, other = sentence.subject_span, sentence.object_span
    if triplet.subject != name:
        concept, other = other, concept
    is_edge = concept < other
    span = other if is_edge else concept
    context = len(sentence.text[: span[0]].rstrip())
    entity = sentence.text[slice(*concept)] if is_edge else ""
    return View(sentence.text, span, context, entity, (sentence.triplet,)), is_edge


def _described(concept: Concept, prompts: Prompts, size: int, seed: int) -> list[View]:
    """Descriptions of several facts each, as many as there are facts."""
    found = []
    for i, numbers in enumerate(combinations(range(len(concept.triplets)), size)):
        texts = prompts.describing([concept.triplets[n] for n in numbers], concept.name)
        if texts:
            found.append(followed(texts[i % len(texts)], concept.name, prompts, "", numbers))
        if len(found) == MOST_DESCRIPTIONS:
            break
    rng = np.random.default_rng(derived_seed("described", seed, concept.name, size))
    chosen = sorted(rng.permutation(len(found))[: max(1, len(concept.triplets))].tolist())
    return [found[i] for i in chosen]


MOST_DESCRIPTIONS = 2000
"""That are drawn from."""


def _whole(view: View) -> View:
    return replace(view, span=(0, len(view.text)))
