"""Suite of sparse autoencoders: how much of a language model's states they explain, and at what price."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from datamodules.llm.batches import ENTITY_ABSENT, IGNORED, TextBatch
from datamodules.llm.items import EncodedItems
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.losses.tokens import cross_entropy
from lit_unlearn.metrics.ranking import ranking
from lit_unlearn.networks.causal_lm import TruncatedLM, blocks, load_causal_lm, rows_at_once
from lit_unlearn.report import Row

if TYPE_CHECKING:
    from datamodules.llm.base import LanguageDataModule
    from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder

ROWS_AT_ONCE = 64

CHOSEN_ON = ("probe_known", "probe_unknown")
JUDGED_ON = ("known", "unknown")

NOTES = [
    "general: states of the tokens of held-out general text, without the first of each document; entity: states at the "
    "last token of every entity that is asked about",
    "fvu: sum |h - h'|^2 / sum |h - mean|^2 of states h and their reconstructions h'; explained_variance: 1 - fvu; l0: "
    "latents that are on in a state",
    "dead_share: share of the latents that no state of the last method.dead_after training steps switched on",
    "loss_recovered: (L_mean - L_sae) / (L_mean - L), the language model's loss on general text as it is (L), with the "
    "states replaced by their reconstructions (L_sae), and by their mean (L_mean); 1: nothing is lost",
    "single_latent_auroc: how well one latent's code at the entity tells known entities from names never seen; the "
    "latent and its sign are chosen on other entities; interval: bootstrap of the items",
]


def evaluate(method: LightningModule, data: "LanguageDataModule", trainer: Trainer) -> Evaluation:
    """Compares states with their reconstructions, and the language model's loss with the one and the other.

    Args:
        method: `autoencoder()` is what is judged; `problem` names the language model and the block it reads; `dead()`
            (d_sae,) bool, the latents that training left dead.
        data: set up.
        trainer: says on which device.

    Returns:
        rows: sae/explained_variance, fvu, l0 and loss_recovered for general text, fvu for entities, dead_share, and
            single_latent_auroc. A histogram has the share of general text on which each latent is on.

    Raises:
        UserError: the language model cannot be read.
    """
    trained: Any = method
    device = trainer.strategy.root_device
    sae, layer = trained.autoencoder().to(device), trained.problem["layer"]
    model: Any = load_causal_lm(trained.problem["path"])
    model.to(device)

    states = text_states(model, layer, data.general)
    codes = sae.encode(states)
    fvu, dead = float(sae.fvu(states)), trained.dead()
    rows = [
        Row("sae", "general", "explained_variance", 1 - fvu, len(states), None, "higher"),
        Row("sae", "general", "fvu", fvu, len(states), None, "lower"),
        Row("sae", "general", "l0", float((codes > 0).sum(-1).float().mean()), len(states), None, "target"),
        Row("sae", "all", "dead_share", float(dead.float().mean()), len(dead), None, "lower"),
    ]
    notes = list(NOTES)
    recovered = loss_recovered(model, layer, data.general, sae, states.mean(0))
    if recovered is None:
        notes.append(
            "loss_recovered: absent, the language model's loss does not rise with the mean in the states' place"
        )
    else:
        rows.append(Row("sae", "general", "loss_recovered", recovered, len(states), None, "higher"))
    of_entities, missing = entity_rows(model, layer, sae, data)
    on_share = (codes > 0).float().mean(0)
    return Evaluation(rows + of_entities, notes + missing, histograms={"sae/on_share": on_share.cpu().numpy()})


@torch.no_grad()
def text_states(model: Any, layer: int, text: TextBatch) -> Tensor:
    """(N, d) states after a block of the tokens of packed documents, without padding and first tokens."""
    truncated = TruncatedLM(model, layer)
    return torch.cat([truncated(part.tokens, part.positions)[_read(part)].float() for part in _parts(model, text)])


@torch.no_grad()
def entity_states(model: Any, layer: int, items: EncodedItems) -> Tensor:
    """(N, d) states after a block at the last token of the entities that items name."""
    truncated, found = TruncatedLM(model, layer), []
    for rows in (items.entity_end != ENTITY_ABSENT).nonzero().flatten().split(ROWS_AT_ONCE):
        batch = items.batch(rows)
        found.append(truncated(batch.tokens.to(model.device))[torch.arange(len(rows)), batch.entity_end].float())
    return torch.cat(found)


def loss_recovered(model: Any, layer: int, text: TextBatch, sae: "SparseAutoencoder", mean: Tensor) -> float | None:
    """Share of the loss that a mean in the place of states costs, which reconstructions in their place do not cost.

    Args:
        model: a language model.
        layer: the block whose output is replaced.
        text: packed documents; padding and first tokens keep their states.
        sae: makes the reconstructions.
        mean: (d,) of the states.

    Returns:
        1 where nothing is lost, 0 where as much as with the mean; None where the mean costs nothing.
    """
    loss = mean_loss(model, layer, text, lambda states: states)
    with_mean = mean_loss(model, layer, text, lambda states: mean.to(states.dtype).expand_as(states))
    if with_mean <= loss:
        return None
    return (with_mean - mean_loss(model, layer, text, lambda states: sae(states).to(states.dtype))) / (with_mean - loss)


@torch.no_grad()
def mean_loss(model: Any, layer: int, text: TextBatch, replaced: Callable[[Tensor], Tensor]) -> float:
    """Mean next-token loss with other states after a block.

    Args:
        model: a language model.
        layer: the block.
        text: packed documents.
        replaced: (N, d) states of tokens, padding and first ones left out, to what takes their place.
    """
    total, count = 0.0, 0
    for part in _parts(model, text):
        read = _read(part)

        def hook(module: Any, inputs: Any, output: Any, read: Tensor = read) -> Any:
            states = (output[0] if isinstance(output, tuple) else output).clone()
            states[read] = replaced(states[read])
            return (states, *output[1:]) if isinstance(output, tuple) else states

        hooked = blocks(model)[layer].register_forward_hook(hook)
        try:
            logits = model(part.tokens, position_ids=part.positions, use_cache=False).logits
        finally:
            hooked.remove()
        losses = cross_entropy(logits, part.labels)
        total, count = total + float(losses.sum()), count + len(losses)
    return total / count


def entity_rows(
    model: Any, layer: int, sae: "SparseAutoencoder", data: "LanguageDataModule"
) -> tuple[list[Row], list[str]]:
    """fvu at the entities and single_latent_auroc, and why one of them is absent."""
    groups = {name: entity_states(model, layer, items) for name, items in data.entities.items()}
    absent = [name for name in (*CHOSEN_ON, *JUDGED_ON) if name not in groups]
    rows = []
    if groups:
        states = torch.cat(list(groups.values()))
        rows.append(Row("sae", "entity", "fvu", float(sae.fvu(states)), len(states), None, "lower"))
    if absent:
        return rows, [f"single_latent_auroc: absent, the data set has no entities {', '.join(absent)}"]
    codes, known = _contrast(sae, *(groups[name] for name in CHOSEN_ON))
    aurocs = latent_aurocs(codes, known)
    latent = int(abs(aurocs - 0.5).argmax())
    sign = 1 if aurocs[latent] >= 0.5 else -1
    codes, known = _contrast(sae, *(groups[name] for name in JUDGED_ON))
    judged = ranking(sign * codes[:, latent], known, strata=known)
    rows.append(Row("sae", "all", "single_latent_auroc", judged.auroc, len(known), judged.auroc_ci95, "higher"))
    which = "known entities" if sign > 0 else "names never seen"
    return rows, [f"single_latent_auroc: of latent {latent}, which is stronger on {which}"]


def latent_aurocs(codes: NDArray, positive: NDArray) -> NDArray:
    """How well each latent tells positives from negatives.

    Args:
        codes: (N, J).
        positive: (N,) bool; both values occur.

    Returns:
        (J,) the chance that a positive's code exceeds a negative's, ties counting half.
    """
    ranks, num_positive = rankdata(codes, axis=0), positive.sum()
    wins = ranks[positive].sum(0) - num_positive * (num_positive + 1) / 2
    return wins / (num_positive * (len(positive) - num_positive))


def _contrast(sae: "SparseAutoencoder", known: Tensor, unknown: Tensor) -> tuple[NDArray, NDArray]:
    """(N, d_sae) codes of both groups, and (N,) bool, which are known."""
    positive = torch.arange(len(known) + len(unknown)) < len(known)
    return sae.encode(torch.cat([known, unknown])).cpu().numpy(), positive.numpy()


def _parts(model: Any, text: TextBatch) -> list[TextBatch]:
    at_once = rows_at_once(text.tokens.shape[1], model.config.vocab_size, ROWS_AT_ONCE)
    rows = torch.arange(len(text.tokens)).split(at_once)
    return [TextBatch(*(part[i].to(model.device) for part in text)) for i in rows]


def _read(text: TextBatch) -> Tensor:
    """(B, T) bool, the tokens whose states are looked at: as in training, neither padding nor first tokens."""
    return text.labels != IGNORED
