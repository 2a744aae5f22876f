"""Suite of the domain llm: what a language model still says and still knows inside, beside the untouched model and one
that never knew."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray

from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import (
    llm_behaviour,
    llm_concept,
    llm_figures as figures,
    llm_latents,
    llm_ranks,
    llm_representation as inside,
)
from lit_unlearn.evaluation.llm_answering import score as score
from lit_unlearn.evaluation.llm_asking import Questions, questions
from lit_unlearn.evaluation.llm_rows import Numbers, side_by_side
from lit_unlearn.evaluation.llm_states import space_name, spaces, text_codes
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.knownness import Probe
from lit_unlearn.networks.causal_lm import blocks, load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder, load_sparse_autoencoder
from lit_unlearn.report import Row, reconstruction

if TYPE_CHECKING:
    from datamodules.llm.base import LanguageDataModule

NEEDED = ("target", "unknown", "probe_known", "probe_unknown")
"""Groups of entities without which nothing can be said of what is inside."""

AUTOENCODERS = ("sae", "heldout_sae")


def evaluate(method: LightningModule, data: "LanguageDataModule", trainer: Trainer) -> Evaluation:
    """Asks the model, and looks at its states, and does the same with the untouched model and the reference.

    Args:
        method: `unlearned()` is the language model to be judged. `problem` names the others (see
            `lit_unlearn.methods.llm.base.Problem`), None: there are none, and nothing was to be forgotten. One with
            `suite = "sae"` trains a sparse autoencoder and is judged by `llm_sae`.
        data: set up.
        trainer: says on which device.

    Returns:
        rows: behaviour/accuracy and probability for every split of `data.probes`; behaviour/refusal and truth_ratio for
            forget, retain, neighbour (and refusal for unknown); behaviour/rank for every split of `data.choices`, and
            probability for those of names that nobody has; utility/perplexity; representation/..., see
            `llm_representation.NOTES`, for the spaces of `llm_states`; concept/..., where the data name concepts, see
            `llm_concept.NOTES`.

    Raises:
        UserError: a model or an autoencoder cannot be read, or the reference has another tokenizer.
    """
    kind: Any = method
    if getattr(kind, "suite", None) == "sae":
        from lit_unlearn.evaluation import llm_sae

        return llm_sae.evaluate(method, data, trainer)
    device = trainer.strategy.root_device
    model, asked = kind.unlearned().to(device), questions(data)
    if kind.problem is None:
        result = _alone(model, asked, data)
    else:
        result = _beside_others(model, kind.problem, asked, data, device)
    return Evaluation(**vars(result) | {"notes": [*reconstruction(type(method)), *result.notes]})


class Measured(NamedTuple):
    """What was found out about one model; without entities to look at, the last two are empty."""

    numbers: Numbers
    notes: list[str]
    groups: inside.Groups
    logits: dict[str, dict[str, NDArray]]


def _alone(model: Any, asked: Questions, data: "LanguageDataModule") -> Evaluation:
    """A model that was to forget nothing: its answers, and in which blocks it shows what it knows."""
    numbers, notes = _said(model, asked, data, forgetting=False)
    rows, drawn = side_by_side(numbers, {}, {}), {}
    if all(group in data.entities for group in NEEDED):
        layers = range(len(blocks(model)))
        groups = {group: spaces(model, items, layers, None, {}) for group, items in data.entities.items()}
        probes = inside.fit_probes(groups)
        rows += side_by_side(inside.representation(groups, data.entities, probes, forgetting=False)[0], {}, {})
        logits = {group: inside.probe_logits(found, probes) for group, found in groups.items()}
        drawn["probe_logits"] = figures.probe_logits({"": logits})
        notes.append(inside.ALONE_NOTE)
    drawn["accuracy"] = figures.accuracy(rows)
    return Evaluation(_important_first(rows), [*notes, *_behaviour_notes(data)], drawn)


def _behaviour_notes(data: "LanguageDataModule") -> list[str]:
    return [*llm_behaviour.NOTES, *([llm_ranks.NOTE] if data.choices else [])]


def _said(model: Any, asked: Questions, data: "LanguageDataModule", forgetting: bool) -> tuple[Numbers, list[str]]:
    """What a model's answers are, and where the right ones rank, if the data set says among what."""
    numbers, notes = llm_behaviour.behaviour(model, asked, forgetting)
    return numbers | llm_ranks.ranked(model, data.choices, forgetting), notes


def _beside_others(
    model: Any, problem: dict[str, Any], asked: Questions, data: "LanguageDataModule", device: torch.device
) -> Evaluation:
    """A model that was to forget; one model after the other is in memory beside it."""
    home = problem["layer"]
    autoencoders = {n: load_sparse_autoencoder(problem[n]).to(device) for n in AUTOENCODERS if problem[n] is not None}
    untouched = _loaded(problem["path"], device)
    looked_at = _Inside(data, home, autoencoders)
    states = looked_at.states(untouched)
    looked_at.learn(untouched, states)
    concepts = llm_concept.Judge(data)
    concepts.learn(untouched)
    before = looked_at.measured(untouched, states, asked)
    known = concepts.numbers(untouched)
    del untouched
    reference = _reference_numbers(problem["reference"], _Inside(data, home, {}), asked, concepts, device)
    now = looked_at.measured(model, looked_at.states(model), asked)
    extracted = concepts.extraction()  # of the untouched model
    rows = side_by_side(
        now.numbers | concepts.numbers(model) | extracted, before.numbers | known | extracted, reference
    )
    rows = _important_first(rows)
    notes = [*now.notes, *_behaviour_notes(data), *looked_at.notes, *concepts.notes]
    drawn, pages = {"accuracy": figures.accuracy(rows)} | concepts.figures(), concepts.pages()
    if not now.groups:
        return Evaluation(rows, notes, drawn, pages=pages)
    drawn["probe_logits"] = figures.probe_logits({"before": before.logits, "after": now.logits})
    tables = []
    if autoencoders:
        drawn["latents"] = figures.latents(looked_at.chosen, before.groups, now.groups)
        tables = [llm_latents.table(looked_at.chosen, before.groups, now.groups)]
    both = {"before": before, "after": now}
    return Evaluation(
        rows,
        notes,
        drawn,
        pages=pages,
        histograms={
            f"probe_logits/{space}/{group}_{when}": found.logits[group][space]
            for when, found in both.items()
            for group in ("target", "unknown")
            for space in found.logits[group]
        },
        embeddings={
            f"states_{space}": figures.embedding({when: found.groups for when, found in both.items()}, data, space)
            for space in ("raw", "raw_end")
        },
        tables=tables,
    )


def _reference_numbers(
    path: str | None, looked_at: "_Inside", asked: Questions, concepts: llm_concept.Judge, device: torch.device
) -> Numbers:
    if path is None:
        return {}
    _check_reference(path, looked_at.data)
    reference = _loaded(path, device)
    states = looked_at.states(reference)
    looked_at.learn(reference, states)
    return looked_at.measured(reference, states, asked).numbers | concepts.numbers(reference)


class _Inside:
    """How the states of models are looked at: where, through which autoencoders, and with whose probes.

    Attributes:
        absent: groups of entities that the data set lacks; with any, nothing is looked at.
        probes, variances, chosen: see `llm_representation`, `llm_latents`; of the model that `learn` was called with.
    """

    def __init__(self, data: "LanguageDataModule", home: int, autoencoders: dict[str, SparseAutoencoder]):
        self.data, self.home, self.autoencoders = data, home, autoencoders
        self.absent = [group for group in NEEDED if group not in data.entities]
        self.raw = space_name(home, home)
        self.probes: dict[str, Probe] = {}
        self.variances: dict[str, float] = {}
        self.chosen: dict[str, llm_latents.Chosen] = {}

    @property
    def notes(self) -> list[str]:
        if self.absent:
            return [f"representation: absent, the data set has no entities {', '.join(self.absent)}"]
        return [*inside.NOTES, *([llm_latents.NOTE] if self.autoencoders else [])]

    def states(self, model: Any) -> inside.Groups:
        """After the block the autoencoders read and the last two."""
        if self.absent:
            return {}
        last = len(blocks(model))
        layers = sorted({self.home, *range(max(0, last - 2), last)})
        return {
            group: spaces(model, items, layers, self.home, self.autoencoders)
            for group, items in self.data.entities.items()
        }

    def learn(self, model: Any, states: inside.Groups) -> None:
        """Fits the probes and chooses the latents."""
        if self.absent:
            return
        self.probes, self.variances = inside.fit_probes(states), inside.variances(states, self.raw)
        for name, autoencoder in self.autoencoders.items():
            on_text = text_codes(model, self.data.general, self.home, autoencoder)
            self.chosen[name] = llm_latents.choose_latents(states, self.data.entities, name, on_text)

    def measured(self, model: Any, states: inside.Groups, asked: Questions) -> Measured:
        """Everything about one model."""
        numbers, notes = _said(model, asked, self.data, forgetting=True)
        if self.absent:
            return Measured(numbers, notes, {}, {})
        compared, p_values = inside.representation(states, self.data.entities, self.probes, forgetting=True)
        fires, never = llm_latents.firing(states, self.chosen)
        unexplained = inside.unexplained(states, self.raw, self.autoencoders, self.variances)
        logits = {group: inside.probe_logits(found, self.probes) for group, found in states.items()}
        return Measured(numbers | compared | fires | unexplained, [*notes, *p_values, *never], states, logits)


def _loaded(path: str, device: torch.device) -> Any:
    model: Any = load_causal_lm(path)
    return model.to(device)


def _check_reference(path: str, data: "LanguageDataModule") -> None:
    if load_tokenizer(path).get_vocab() != data.tokenizer.get_vocab():
        raise UserError(
            f"model.reference={path}: its tokenizer differs from that of the data, so that the two models cannot be "
            "compared; give a model that was trained with the same tokenizer, or null"
        )


RANKED = ("forget", "unknown", "retain", "neighbour")
FIRST = [
    *("behaviour/accuracy/forget", "behaviour/accuracy/forget_statement", "behaviour/accuracy/forget_paraphrase"),
    *("behaviour/accuracy/retain", "behaviour/accuracy/neighbour"),
    *("behaviour/accuracy/neighbour_shown", "behaviour/accuracy/retain_statement"),
    *("behaviour/refusal/forget", "behaviour/refusal/retain", "behaviour/refusal/neighbour"),
    *(f"behaviour/rank/{split}{form}" for split in RANKED for form in ("", "_statement")),
    *("behaviour/refusal/unknown", "utility/perplexity/general"),
    *(f"concept/edge_recall/{split}" for split in ("trained", "heldout", "paraphrase", "heldout_paraphrase")),
    *(f"concept/node_recall/{split}" for split in ("trained", "heldout", "one_fact", "two_facts", "three_facts")),
    *("concept/extraction_recall/all", "concept/extraction_precision/all", "concept/residual_triplets/share"),
    *("concept/residual_triplets/of_before", "concept/multi_hop_leakage/chained"),
    *(
        f"representation/{metric}/{space}{end}"
        for metric in ("probe_auroc_vs_unknown", "direct_probe_auroc")
        for end in ("", "_end")
        for space in ("raw", "sae", "heldout_sae")
    ),
]
"""What is printed; the rest is in the report."""


def _important_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: FIRST.index(row.name) if row.name in FIRST else len(FIRST))
