"""One of TOFU's fictitious authors as a concept to be forgotten, with the questions of the benchmark to be judged by.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from datamodules.llm.concepts.base import ConceptDataModule, named
from datamodules.llm.tofu import Tofu
from lit_unlearn.errors import UserError


class ConceptTofu(ConceptDataModule, Tofu):
    """An author of whom only the name is given; the benchmark's questions about the author are never trained with.

    `edge_recall/heldout` are the author's questions, `paraphrase` the same in other words, `node_recall/heldout` those
    that ask for the author's name. Other authors of the split take no part.

    Args:
        concept: the author's name; null takes the first author of the split.
        aliases: other names, by name.
        num_generic: questions about other authors that are retained besides what the model says of them.
        tofu: see `Tofu`.
    """

    def __init__(
        self,
        concept: str | None = None,
        aliases: dict[str, list[str]] | None = None,
        num_generic: Annotated[int, Field(ge=0)] = 200,
        **tofu,
    ):
        super().__init__(**tofu)
        self.concept, self.aliases, self.num_generic = concept, aliases, num_generic
        self.heldout_families = []

    def read(self) -> None:
        """Reads the files and leaves one author to be forgotten.

        Raises:
            UserError: see `TofuDataModule.read`; or the author is not among those to be forgotten.
        """
        super().read()
        authors = self.named(self.pairs_to_forget)
        concept = authors[0] if self.concept is None else self.concept
        if concept not in authors:
            raise UserError(f"data.concept={concept!r}: is not in {self.forget}; its authors are {', '.join(authors)}")
        self.pairs_to_forget = [pair for pair in self.pairs_to_forget if self.author[pair.question] == concept]
        self.judged["forget"] = [pair for pair in self.judged["forget"] if self.author[pair.question] == concept]
        self.concepts = named([concept], self.aliases)

    def setup(self, stage: str) -> None:
        if hasattr(self, "pools"):  # a method may have given others
            return
        super().setup(stage)
        (concept,) = self.concepts
        self.held_out = self.named(self.judged["retain"])
        self.written = {concept.name: [pair.answer for pair in self.pairs_to_forget if concept.name in pair.answer]}
        rng = np.random.default_rng([self.names_seed, 2])
        others = self.pools.retain.items
        self.generic = [others[i] for i in rng.permutation(len(others))[: self.num_generic]]
        edges = [pair for pair in self.judged["forget"] if concept.name in pair.question]
        nodes = [
            pair for pair in self.judged["forget"] if concept.name not in pair.question and concept.name in pair.answer
        ]
        asked = {
            "edge_recall/heldout": self.items(edges),
            "edge_recall/paraphrase": self._paraphrased(edges),
            "node_recall/heldout": self.items(nodes),
        }
        self.recall = {name: self.encoded(items) for name, items in asked.items() if items}
