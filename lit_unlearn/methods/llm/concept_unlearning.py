"""Concept unlearning: a model forgets a person from the graph of what it said of that person itself.

Reconstructed: after Yamashita et al., "Concept Unlearning in Large Language Models via Self-Constructed Knowledge
Triplets", 2025, arXiv 2509.15621; procedure reconstructed, not checked against the paper (only its abstract was
available).

Idea: nobody has the sentences. The untouched model is asked what it knows, its answers become a graph of validated
triplets (`lit_unlearn.concepts`), and nodes and edges of that graph are unlearned: with the concept named, the model
must not say where an edge leads; with that described, it must not name the concept.

Equation implemented:

    (1)  L = w_edge U(D_edge) + w_node U(D_node) + sum over retain terms r of weight_r L_r

with U a forget loss of `lit_unlearn.methods.llm.forget_losses`, labels on the tokens of the object (edges) or of the
concept's name (nodes) alone, and retain terms on what the model says of others, and on text about nobody.

Deviations: as above, all of the procedure. What the model is trained with in the place of the graph (`material`) makes
the baselines: sentences that somebody has written, biographies by the model itself (RWKU, arXiv 2406.10890), questions.

Command: python -m lit_unlearn.fit experiment=concept_unlearning/biographies
Expect: docs/concepts.md.
"""

import logging
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import AnswerBatch, UnlearningBatch
from lit_unlearn.concepts import files, material as materials
from lit_unlearn.concepts.extraction import check_aliases, check_known, checked_names, extract_concept
from lit_unlearn.concepts.generation import LanguageModel
from lit_unlearn.concepts.prompts import prompts_for
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Concept
from lit_unlearn.concepts.views import LabelScope
from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm.base import Problem, Unlearner
from lit_unlearn.methods.llm.forget_losses import LOSSES, ForgetLoss
from lit_unlearn.methods.schedule import num_steps
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.reference import Need

log = logging.getLogger(__name__)

MaterialKind = Literal["graph", "given", "generated", "questions"]


class ConceptUnlearning(Unlearner):
    """Concept unlearning.

    Reconstructed: after Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
    Prompts, validation, views, losses and what is retained are ours.

    Args:
        model: see `Problem`.
        material: what is trained with: the graph's two views; sentences somebody has written; biographies the model
            writes; questions it would answer.
        loss: U of equation (1); `refusal` is the likelihood of a refusal in the answer's place.
        beta: of the loss, where it has one: npo, dpo, simnpo, wga, satimp, undial.
        w_edge, w_node: of equation (1).
        label_scope: `sentence` labels whole texts instead of the object or the name.
        description_sizes: facts in a description of a node.
        biographies: of `material=generated`, samples for each way to begin one.
        rounds: after each but the last the model is asked again, in other words, and trained with what is left; it ends
            where nothing is.
        extraction: see `ExtractionSettings`; the seed is that of the run, the prompts are those of the data unless
            they are given here.
        graphs: folders that lit_unlearn.extract has written, one a concept; null extracts before the first step.
        seed: draws samples and wordings.
        shared: see `Unlearner`.
    """

    def __init__(
        self,
        model: Problem,
        material: MaterialKind = "graph",
        loss: ForgetLoss = "npo",
        beta: Annotated[float, Field(ge=0)] = 0.1,
        w_edge: Annotated[float, Field(ge=0)] = 1.0,
        w_node: Annotated[float, Field(ge=0)] = 1.0,
        label_scope: LabelScope = "span",
        description_sizes: list[Annotated[int, Field(ge=1)]] | None = None,
        biographies: Annotated[int, Field(ge=1)] = 4,
        rounds: Annotated[int, Field(ge=1)] = 1,
        extraction: ExtractionSettings | None = None,
        graphs: list[str] | None = None,
        seed: Annotated[int, Field(ge=0)] = 0,
        **shared,
    ):
        super().__init__(model, **shared)
        self.material, self.loss, self.beta = material, loss, beta
        self.weights = {"edge": w_edge, "node": w_node}
        self.label_scope, self.description_sizes = label_scope, description_sizes or [1, 2]
        self.biographies, self.rounds, self.graphs, self.seed = biographies, rounds, graphs, seed
        self.extraction: dict[str, Any] = dict(extraction or {})
        self.num_edges = 0
        self.round, self.left = 0, torch.zeros(0, dtype=torch.bool)

    def check(self, data: Any) -> None:
        """Asks the untouched model, and gives `data` what to train with; called before anything is written.

        Raises:
            UserError: the data name no concept, or the tokenizer is not the model's; a concept is unknown to the model,
                or nothing it says of it is validated; a name or an alias stands in most others; a graph is not this
                model's or not of these concepts; nothing written about the concepts is there.
        """
        if not hasattr(data, "train_on"):
            raise UserError(
                f"data={type(data).__name__}: names no concepts to be forgotten; choose data=concepts/biographies or "
                "data=concepts/tofu"
            )
        if self.rounds > 1 and self.material != "graph":
            raise UserError(f"method.rounds={self.rounds}: of material=graph only, here it is {self.material}; give 1")
        data.check_tokenizer(self.problem["path"])
        self.extraction.setdefault("prompts", data.prompts)
        untouched: Any = load_causal_lm(self.problem["path"])
        if torch.accelerator.is_available():
            untouched = untouched.to(torch.accelerator.current_accelerator())
        prompts = prompts_for(self.extraction["prompts"], data.tokenizer)
        speaker = LanguageModel(untouched, data.tokenizer, templated=prompts.templated)
        source = materials.Source(speaker, prompts, data.tokenizer, data.max_length, self.seed)
        whole = self._graphs(untouched, data) if self.graphs is None else self._read_graphs(untouched, data)
        for concept in whole:
            check_known(concept)
            check_aliases(checked_names(concept.name, concept.aliases), [*concept.neighbours, *data.held_out])
        self.concepts = [materials.without(concept, data.heldout_families) for concept in whole]
        stays = materials.what_stays(self.concepts, source, data.held_out, data.generic)
        made = materials.gathered(self._views(source, data), stays, source)
        data.train_on(made.sizes, made.forget, made.refusal, made.retain)
        self.num_edges, self.says = made.sizes[0], made.says
        self.left = torch.ones(sum(len(concept.triplets) for concept in self.concepts), dtype=torch.bool)
        log.info(
            f"concepts: {len(self.concepts)}, {len(self.left)} triplets to be forgotten, texts {made.sizes}, "
            f"{made.dropped} dropped, {len(made.retain)} to be retained"
        )

    def _settings(self, number: int, **changed: Any) -> ExtractionSettings:
        """Of the extraction of a concept: each has samples of its own, so that others are named again and again."""
        return ExtractionSettings(**self.extraction | {"seed": (self.seed * 1000 + number) % 2**32} | changed)

    def _graphs(self, untouched: Any, data: Any) -> list[Concept]:
        return [
            extract_concept(untouched, data.tokenizer, each.name, each.aliases, self._settings(number))
            for number, each in enumerate(data.concepts)
        ]

    def _read_graphs(self, untouched: Any, data: Any) -> list[Concept]:
        assert self.graphs is not None
        found = {concept.name: concept for concept in (files.read_concept(g, untouched) for g in self.graphs)}
        absent = [each.name for each in data.concepts if each.name not in found]
        if absent:
            raise UserError(
                f"method.graphs={self.graphs}: none is of {absent[0]!r}; those are of {', '.join(sorted(found))}. "
                "Extract the concept as the data name it: python -m lit_unlearn.extract --help"
            )
        return [found[each.name] for each in data.concepts]

    def _views(self, source: materials.Source, data: Any) -> list[list[Any]]:
        if self.material == "graph":
            return list(materials.graph_views(self.concepts, source, self.description_sizes, self.label_scope))
        if self.material == "questions":
            return [materials.questions(self.concepts, source)]
        if self.material == "generated":
            families = [family for family in source.prompts.families if family not in data.heldout_families]
            return [materials.biographies(self.concepts, source, self.biographies, families)]
        given = [materials.sentence_view(text, name) for name, texts in data.written.items() for text in texts]
        if not given:
            raise UserError("method.material=given: the data hold no sentences about the concepts; choose another")
        return [given]

    def all_needs(self) -> tuple[Need, ...]:
        return super().all_needs() + LOSSES[self.loss].needs

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        is_edge = batch.forget.item < self.num_edges
        total = self.model.lm_head.weight.new_zeros(())
        for view, rows in (("edge", is_edge), ("node", ~is_edge)):
            if self.weights[view] and rows.any():
                forget, refusal = chosen(batch.forget, rows), chosen(batch.refusal, rows)
                part = UnlearningBatch(forget, refusal, refusal, batch.retain)
                total = total + self.weights[view] * LOSSES[self.loss].loss(self, part, self.beta)
        return total

    def on_train_batch_start(self, batch: UnlearningBatch, batch_idx: int) -> int | None:
        """Between rounds asks what is left; -1 ends the run where nothing is."""
        steps = -(-num_steps(self.trainer) // self.rounds)
        due = min(self.global_step // steps, self.rounds - 1)
        if due > self.round:
            self.round = due
            self.left &= self.still_known()
        if not self.left.any():
            self.trainer.should_stop = True
            return -1
        return None

    def training_step(self, batch: UnlearningBatch, batch_idx: int) -> Tensor:
        return super().training_step(self._of_what_is_left(batch), batch_idx)

    @torch.no_grad()
    def still_known(self) -> Tensor:
        """(T,) bool, which triplets the model still says and validates, asked in other words than those of training."""
        tokenizer, found = self.trainer.datamodule.tokenizer, []  # type: ignore[attr-defined]
        for number, concept in enumerate(self.concepts):
            settings = self._settings(number, wordings="second", neighbours=0, sentences=1)
            now = extract_concept(self.model, tokenizer, concept.name, concept.aliases, settings)
            keys = {triplet.key for triplet in now.triplets}
            found += [triplet.key in keys for triplet in concept.triplets]
        return torch.tensor(found, dtype=torch.bool)

    def _of_what_is_left(self, batch: UnlearningBatch) -> UnlearningBatch:
        """Rows that say only what is forgotten already give way to others of their view."""
        if self.left.all():
            return batch
        pools = self.trainer.datamodule.pools  # type: ignore[attr-defined]
        item = batch.forget.item.cpu()
        open_items = ((self.says >= 0) & self.left[self.says.clamp(min=0)]).any(1).nonzero().flatten()
        rows = []
        for of_edges in (True, False):
            own = item[(item < self.num_edges) == of_edges]
            usable = open_items[(open_items < self.num_edges) == of_edges]
            rows.append(usable[own % len(usable)] if len(usable) else own[:0])
        chosen_rows = torch.cat(rows)
        moved = [
            AnswerBatch(*(x.to(self.device) for x in pool.batch(chosen_rows))) for pool in (pools.forget, pools.refusal)
        ]
        return UnlearningBatch(moved[0], moved[1], moved[1], batch.retain)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rounds"] = {"round": self.round, "left": self.left}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.round, self.left = checkpoint["rounds"]["round"], checkpoint["rounds"]["left"]


def chosen(batch: AnswerBatch, rows: Tensor) -> AnswerBatch:
    """Some rows of a batch."""
    return AnswerBatch(*(part[rows] for part in batch))
