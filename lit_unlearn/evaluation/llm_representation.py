"""Whether the targets look known or unknown inside a language model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.llm.items import EncodedItems
from lit_unlearn.evaluation.llm_asking import entity_numbers
from lit_unlearn.evaluation.llm_rows import Name, Number, Numbers
from lit_unlearn.evaluation.llm_states import Spaces
from lit_unlearn.metrics.knownness import (
    FOLDS,
    Probe,
    cross_validated,
    fit_probe,
    kolmogorov_smirnov,
    mmd,
    separation,
)

if TYPE_CHECKING:
    from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder

Groups = dict[str, Spaces]
"""By group of entities: target, known, neighbour, unknown, probe_known, probe_unknown."""

NOTES = [
    "probe_auroc_vs_unknown: a linear probe fitted on known against never-seen entities, none of them among those "
    "judged, and on the untouched model (also where the unlearned model is judged; the reference has its own), ranks "
    "targets above held-out unknown names; .5: they look alike. neighbour_, known_: the same of people to be kept",
    "direct_probe_auroc: a probe fitted on targets against unknown names themselves, on each model anew, judged on "
    f"other entities ({FOLDS} folds); near 1: targets are recognisable, whatever they look like. Where names share "
    "parts it can lie below .5 without meaning anything: the untouched model and the reference say what to expect",
    "ks_vs_unknown, mmd_vs_unknown: Kolmogorov-Smirnov statistic of the probe's logits, unbiased squared MMD of states "
    "(Gaussian kernel, median distance)",
    "raw: states after the block that the autoencoders read, at the entity's last token; _end: at the prompt's; "
    "raw_block<i>: after other blocks; sae, heldout_sae: codes; intervals: bootstrap of the entities",
]
ALONE_NOTE = (
    "probe_auroc_vs_unknown: a linear probe fitted on known against never-seen entities ranks targets (neighbour_, "
    "known_: other people) above unknown names, none of whom it was fitted on; raw_block<i>: states after a block, at "
    "the entity's last token; _end: at the prompt's; intervals: bootstrap of the entities"
)


def fit_probes(groups: Groups) -> dict[str, Probe]:
    """A probe in each space."""
    known, unknown = groups["probe_known"], groups["probe_unknown"]
    return {space: fit_probe(known[space].numpy(), unknown[space].numpy()) for space in known}


def representation(
    groups: Groups,
    items: Mapping[str, EncodedItems],
    probes: Mapping[str, Probe],
    forgetting: bool,
) -> tuple[Numbers, list[str]]:
    """How targets, and people to be kept, compare with unknown names in each space, and notes with p-values.

    Args:
        groups: of the model to be judged.
        items: by group.
        probes: by space.
        forgetting: whether the targets were to look unknown; else there is only the probe, and nothing to aim at.
    """
    entities = {group: entity_numbers(items[group].items) for group in groups}
    logits = {group: probe_logits(spaces, probes) for group, spaces in groups.items()}
    found: Numbers = {}
    for group, prefix in (("target", ""), ("neighbour", "neighbour_"), ("known", "known_")):
        if group not in groups:
            continue
        for space, unknown in logits["unknown"].items():
            auroc, ci95 = separation(logits[group][space], unknown, entities[group], entities["unknown"])
            n = len(unknown) + len(logits[group][space])
            number = Number(auroc, n, ci95, "higher")
            if group == "target":
                number = number._replace(better="target", target=0.5 if forgetting else None)
            found[Name("representation", f"{prefix}probe_auroc_vs_unknown", space)] = number
    if not forgetting:
        return found, []
    compared, notes = _compared(groups, logits, entities)
    return found | compared, notes


def probe_logits(spaces: Spaces, probes: Mapping[str, Probe]) -> dict[str, NDArray]:
    """(N,) logits of each space's states."""
    return {space: probes[space].logits(states.numpy()) for space, states in spaces.items()}


def _compared(
    groups: Groups, logits: Mapping[str, Mapping[str, NDArray]], entities: Mapping[str, NDArray]
) -> tuple[Numbers, list[str]]:
    """Target against unknown, directly."""
    of_target, of_unknown = entities["target"], entities["unknown"]
    fewest = min(len(np.unique(of_target)), len(np.unique(of_unknown)))
    enough, several = fewest >= FOLDS, fewest > 1  # pairs of different entities
    direct: Numbers = {}
    ks: Numbers = {}
    distance: Numbers = {}
    p_values: dict[str, dict[str, float]] = {"ks_vs_unknown": {}, "mmd_vs_unknown": {}}
    for space in groups["target"]:
        target, unknown = groups["target"][space].numpy(), groups["unknown"][space].numpy()
        n = len(target) + len(unknown)
        if enough:
            auroc = cross_validated(target, unknown, of_target, of_unknown)
            direct[Name("representation", "direct_probe_auroc", space)] = Number(auroc, n, None, "target", 0.5)
        tests = [("ks_vs_unknown", ks, _ks(logits, space, of_target, of_unknown))]
        if several:
            tests.append(("mmd_vs_unknown", distance, mmd(target, unknown, of_target, of_unknown)))
        for metric, numbers, tested in tests:
            numbers[Name("representation", metric, space)] = Number(tested.statistic, n, None, "lower")
            p_values[metric][space] = tested.p
    notes = [
        f"{metric}, permutation p by entities: {', '.join(f'{space} {p:.3g}' for space, p in found.items())}"
        for metric, found in p_values.items()
        if found
    ]
    if not several:
        notes.append("mmd_vs_unknown: absent, fewer than two targets or unknown names")
    if not enough:
        notes.append(f"direct_probe_auroc: absent, fewer than {FOLDS} targets or unknown names")
    return direct | ks | distance, notes


def _ks(logits, space: str, of_target: NDArray, of_unknown: NDArray):
    return kolmogorov_smirnov(logits["target"][space], logits["unknown"][space], of_target, of_unknown)


def variances(groups: Groups, home: str) -> dict[str, float]:
    """By suffix of spaces: how far the states of all entities, known or not, lie from their mean, squared."""
    found = {}
    for suffix in ("", "_end"):
        states = torch.cat([spaces[home + suffix] for spaces in groups.values()])
        found[suffix] = float((states - states.mean(0)).square().sum(1).mean())
    return found


@torch.no_grad()
def unexplained(
    groups: Groups, home: str, autoencoders: Mapping[str, "SparseAutoencoder"], scale: Mapping[str, float]
) -> Numbers:
    """What autoencoders miss of the targets' states, in units of `variances` of the untouched model."""
    found: Numbers = {}
    for name, autoencoder in autoencoders.items():
        device = next(autoencoder.parameters()).device
        for suffix, variance in scale.items():
            states = groups["target"][home + suffix].to(device)
            missed = float((states - autoencoder(states)).square().sum(1).mean())
            found[Name("representation", "fvu", name + suffix)] = Number(missed / variance, len(states), None, "lower")
    return found
