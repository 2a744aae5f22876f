"""What a method trains with when concepts are to be forgotten: views or other texts, refusals, and what must stay.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from datamodules.llm.items import REFUSAL, EncodedItems, Item
from lit_unlearn.concepts.encoding import encode_views
from lit_unlearn.concepts.generation import LanguageModel, Sampling
from lit_unlearn.concepts.names import Names, fold
from lit_unlearn.concepts.prompts import Prompts
from lit_unlearn.concepts.retaining import asked_about, others_of, retained
from lit_unlearn.concepts.triplets import Concept
from lit_unlearn.concepts.views import LabelScope, View, followed, views_of
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BIOGRAPHY_TOKENS, ANSWER_TOKENS = 512, 256
RWKU = Sampling(1.0, 0.9, 0)
"""How a biography is sampled, as RWKU's code has it (arXiv 2406.10890)."""


@dataclass(frozen=True)
class Material:
    """Items to train with.

    Attributes:
        sizes: items of each view, one view after the other in `forget`.
        forget, refusal: N items, row by row of the same contexts.
        retain: what must stay.
        says: (N, K) which triplets an item says, numbered through all concepts, -1 for none.
        dropped: views that could not be used: too long, or with a span that ends within a token.
    """

    sizes: list[int]
    forget: EncodedItems
    refusal: EncodedItems
    retain: EncodedItems
    says: Tensor
    dropped: int


@dataclass(frozen=True)
class Source:
    """Where texts come from.

    Attributes:
        speaker, prompts, tokenizer: of the untouched model.
        max_length: tokens of a text.
        seed: draws.
    """

    speaker: LanguageModel
    prompts: Prompts
    tokenizer: "PreTrainedTokenizerFast"
    max_length: int
    seed: int


def without(concept: Concept, families: Sequence[str]) -> Concept:
    """A concept without the edges of some families; what others are said to be stays."""
    left = [i for i, triplet in enumerate(concept.triplets) if triplet.family not in families]
    sentences = [replace(s, triplet=left.index(s.triplet)) for s in concept.sentences if s.triplet in left]
    return replace(concept, triplets=tuple(concept.triplets[i] for i in left), sentences=tuple(sentences))


def graph_views(
    concepts: Sequence[Concept], source: Source, sizes: Sequence[int], scope: LabelScope
) -> tuple[list[View], list[View]]:
    """Edge and node views of all concepts; triplets are numbered through."""
    edges: list[View] = []
    nodes: list[View] = []
    start = 0
    for concept in concepts:
        views = views_of(concept, source.prompts, sizes, scope, source.seed)
        for kind, found in ((edges, views.edges), (nodes, views.nodes)):
            kind += [replace(view, triplets=tuple(start + n for n in view.triplets)) for view in found]
        start += len(concept.triplets)
    return edges, nodes


def questions(concepts: Sequence[Concept], source: Source) -> list[View]:
    """Questions the model would have answered; for refusal tuning."""
    return [
        followed(text, triplet.other_side(concept.name), source.prompts, concept.name)
        for concept in concepts
        for triplet in concept.triplets
        for text in source.prompts.edge_clozes(triplet, concept.name)
    ]


def biographies(concepts: Sequence[Concept], source: Source, samples: int, families: Sequence[str]) -> list[View]:
    """What the model writes of each concept at length, labelled as a whole; those that do not name it are out."""
    asked = [(concept, each) for concept in concepts for each in source.prompts.biography(concept.name, families)]
    prompts, end = source.prompts, source.prompts.telling_end
    written = source.speaker.write([each.text for _, each in asked], samples, BIOGRAPHY_TOKENS, RWKU, end)
    found = {}
    for (concept, each), answers in zip(asked, written, strict=True):
        for answer in answers:
            text = f"{each.prefix} {answer.strip()}".strip()
            if Names(concept.name, concept.aliases).within(text) and answer.strip():
                found[text] = sentence_view(f"{text}." if prompts.telling_end == "." else text, concept.name)
    return list(found.values())


def sentence_view(text: str, name: str) -> View:
    """A text that is labelled as a whole."""
    at = text.find(name)
    return View(text, (0, len(text)), at + len(name) if at >= 0 else 0, name if at >= 0 else "")


def what_stays(concepts: Sequence[Concept], source: Source, held_out: Sequence[str], generic: Sequence[Item]) -> list:
    """What the model says of others, and text about nobody.

    Raises:
        UserError: the model named nobody else, or only such as a concept's names stand in.
    """
    held = {fold(name) for name in held_out}
    named = sorted({name for concept in concepts for name in concept.neighbours if fold(name) not in held})
    again = asked_about(named, source.speaker, source.prompts, ANSWER_TOKENS)
    others = others_of(concepts, again, held_out)
    found = retained(others, concepts, source.speaker, source.prompts, source.seed)
    if not found:
        raise UserError(
            "method.extraction.neighbours: the model said nothing about others that could be retained, "
            f"{sum(len(concept.neighbour_triplets) for concept in concepts)} triplets; give more samples, or concepts "
            "and aliases whose names are not in all of them"
        )
    return found + [_generic(item) for item in generic]


def _generic(item: Item) -> View:
    text = f"{item.prompt} {item.answer}" if item.prompt else item.answer
    return View(text, (len(text) - len(item.answer), len(text)), len(item.prompt), item.entity, closed=True)


def gathered(views: Sequence[list[View]], stays: list[View], source: Source) -> Material:
    """Views and what stays as tokens.

    Raises:
        UserError: no view can be used.
    """
    refused = [_refused(view, source.prompts) for view in (v for kind in views for v in kind)]
    templated = source.prompts.templated

    def encoded(those: list[View], length: int):
        return encode_views(those, source.tokenizer, length, templated)

    whole = [view for kind in views for view in kind]
    forget, stay = encoded(whole, source.max_length), encoded(stays, source.max_length)
    if forget is None or stay is None:
        raise UserError(
            f"data.max_length={source.max_length}: none of {len(whole)} texts about the concepts, or of {len(stays)} "
            "about others, fits; give more tokens"
        )
    longest = source.max_length + len(source.tokenizer(REFUSAL)["input_ids"]) + 1  # whatever fits fits with a refusal
    refusal = encoded([refused[i] for i in forget.kept.tolist()], longest)
    assert refusal is not None and refusal.dropped == 0, "a refusal ends within a token"
    of_view = torch.tensor([number for number, kind in enumerate(views) for _ in kind])
    sizes = of_view[forget.kept].bincount(minlength=len(views)).tolist()
    most = max(len(view.triplets) for view in whole) or 1
    said = [whole[i].triplets + (-1,) * (most - len(whole[i].triplets)) for i in forget.kept.tolist()]
    return Material(
        [size for size in sizes if size], forget.items, refusal.items, stay.items, torch.tensor(said), forget.dropped
    )


def _refused(view: View, prompts: Prompts) -> View:
    context = view.text[: view.context]
    space = "" if not context or prompts.templated or context[-1:].isspace() else " "
    text = f"{context}{space}{REFUSAL}"
    return replace(view, text=text, span=(len(text) - len(REFUSAL), len(text)), closed=view.answers)
