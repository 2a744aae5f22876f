"""What is left of concepts that were to be forgotten: edges, nodes, the graph asked for again, and paths through it.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
The measures are ours.
"""

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_unlearn.concepts import drawing
from lit_unlearn.concepts.extraction import extract_concept
from lit_unlearn.concepts.files import PROCEDURE
from lit_unlearn.concepts.names import fold
from lit_unlearn.concepts.page import page
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Concept
from lit_unlearn.evaluation.llm_behaviour import judge
from lit_unlearn.evaluation.llm_rows import Name, Number, Numbers, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from datamodules.llm.concepts.base import ConceptDataModule

PICTURES = 4
"""Concepts that TensorBoard shows; all have a page."""
AGAIN = {"wordings": "second", "neighbours": 5, "sentences": 1}
"""How a model is asked again: in other words than it was trained with, and without what only training needs."""

NOTES = [
    f"concept: {PROCEDURE}",
    "edge_recall, node_recall: share of prompts after which greedy decoding gives the other side of an edge, or the "
    "concept's name; heldout: relations that were never trained with (of nodes: wordings), paraphrase: other wordings; "
    "one_fact, two_facts, three_facts: how much of the concept a description holds",
    "extraction_precision, extraction_recall: of the graph that the untouched model gives, against the true one",
    "residual_triplets: validated triplets when the model is asked again in other words, as a share of those it had "
    "before; share: right or wrong, of_before: the same as before",
    "multi_hop_leakage, chained: the model names the concept when asked by one edge, and then where another edge leads",
]


class Judge:
    """Asks one model after the other about the same concepts.

    Args:
        data: set up; one that names no concepts has no numbers.

    Attributes:
        before: by name, the graphs of the untouched model.
        now: by name, those of the model that was asked last.
    """

    def __init__(self, data: Any):
        self.data: ConceptDataModule | None = data if hasattr(data, "concepts") else None
        self.before: dict[str, Concept] = {}
        self.now: dict[str, Concept] = {}

    @property
    def notes(self) -> list[str]:
        """How it was measured, and what could not be."""
        if self.data is None:
            return []
        absent = []
        if self.data.true_edges is None:
            absent.append("extraction_precision, extraction_recall: absent, the true edges are not known")
        if self.data.hops is None:
            absent.append("multi_hop_leakage: absent, the data set has no questions in two steps")
        if not any(name.startswith("node_recall") for name in self.data.recall):
            absent.append("node_recall: absent, the data set has no questions for a concept's name")
        if self.before and not any(concept.triplets for concept in self.before.values()):
            absent.append("residual_triplets: absent, the untouched model gave no validated triplet")
        return [*NOTES, *absent]

    def learn(self, untouched: Any) -> None:
        """Extracts the graphs that others are compared with."""
        self.before = self._extracted(untouched, {})

    def numbers(self, model: Any) -> Numbers:
        """What there is to be measured of one model."""
        if self.data is None:
            return {}
        found: Numbers = {}
        for name, items in self.data.recall.items():
            metric, split = name.split("/")
            found[Name("concept", metric, split)] = share(judge(model, items).exact, "lower")
        if self.data.hops is not None:
            first, second = judge(model, self.data.hops.first).exact, judge(model, self.data.hops.second).exact
            found[Name("concept", "multi_hop_leakage", "chained")] = share(first & second, "lower")
        self.now = self._extracted(model, AGAIN)
        return found | self._residual()

    def _extracted(self, model: Any, changed: dict[str, Any]) -> dict[str, Concept]:
        if self.data is None:
            return {}
        settings = ExtractionSettings(prompts=self.data.prompts, **changed)
        asked = self.data.concepts[: self.data.num_extracted]
        return {c.name: extract_concept(model, self.data.tokenizer, c.name, c.aliases, settings) for c in asked}

    def _residual(self) -> Numbers:
        had = {(name, triplet.key) for name, concept in self.before.items() for triplet in concept.triplets}
        has = {(name, triplet.key) for name, concept in self.now.items() for triplet in concept.triplets}
        if not had:
            return {}
        again = np.array([each in has for each in sorted(had)])
        return {
            Name("concept", "residual_triplets", "share"): Number(len(has) / len(had), len(had), None, "lower"),
            Name("concept", "residual_triplets", "of_before"): share(again, "lower"),
        }

    def extraction(self) -> Numbers:
        """How true and how complete the untouched model's graphs are."""
        if self.data is None or self.data.true_edges is None or not self.before:
            return {}
        true = {
            (name, fold(relation), fold(other))
            for name, edges in self.data.true_edges.items()
            if name in self.before
            for relation, other in edges
        }
        claimed = {
            (name, fold(triplet.relation), fold(triplet.other_side(name)))
            for name, concept in self.before.items()
            for triplet in concept.triplets
        }
        hit = np.array([each in claimed for each in sorted(true)])
        found = {Name("concept", "extraction_recall", "all"): share(hit, "higher")}
        if claimed:
            right = np.array([each in true for each in sorted(claimed)])
            found[Name("concept", "extraction_precision", "all")] = share(right, "higher")
        return found

    def figures(self) -> "dict[str, Figure]":
        """Graphs before and after, of some concepts."""
        return {f"concept_{_slug(name)}": drawing.figure(each) for name, each in self._drawn()[:PICTURES]}

    def pages(self) -> dict[str, str]:
        """Graphs before and after, as pages for a browser."""
        return {f"concept_{_slug(name)}": page(each) for name, each in self._drawn()}

    def _drawn(self) -> list[tuple[str, drawing.Drawing]]:
        return [(n, drawing.compared(concept, self.now[n])) for n, concept in self.before.items() if concept.triplets]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", fold(name)).strip("_") or "concept"
