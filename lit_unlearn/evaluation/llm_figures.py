"""Pictures of what language models say and show inside. Made as objects, without pyplot and its global state."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lit_unlearn.evaluation.llm_asking import entity_numbers
from lit_unlearn.metrics.latents import firing_rates
from lit_unlearn.report import Row

if TYPE_CHECKING:
    from datamodules.llm.base import LanguageDataModule
    from lit_unlearn.evaluation.llm_latents import Chosen
    from lit_unlearn.evaluation.llm_representation import Groups

GROUPS = {"target": "#D55E00", "neighbour": "#CC79A7", "known": "#0072B2", "unknown": "#009E73"}
"""Okabe & Ito: safe for the colour-blind."""
MOST_SPACES = 6


def accuracy(rows: list[Row]) -> Figure:
    """Accuracy by split: of the model before, of the judged one with its interval, and of the reference."""
    shown = sorted((row for row in rows if row.metric == "accuracy"), key=lambda row: row.split)
    figure = Figure(figsize=(8, 1.5 + 0.35 * len(shown)), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(shown))
    values = np.array([row.value for row in shown])
    around = np.array([row.ci95 for row in shown]).T
    error = np.abs(around - values)
    axes.barh(place, values, 0.6, xerr=error, color="#56B4E9", error_kw={"elinewidth": 1}, label="this model")
    for field, marker, label in (("before", "o", "before"), ("reference", "D", "reference, never knew the targets")):
        there = [(i, getattr(row, field)) for i, row in enumerate(shown) if getattr(row, field) is not None]
        if there:
            axes.plot([x for _, x in there], [i for i, _ in there], marker, color="black", mfc="none", label=label)
    axes.set_yticks(place, [f"{row.split} ({row.n})" for row in shown])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.05), xlabel="share answered right", title="Accuracy by split")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def probe_logits(models: Mapping[str, Mapping[str, Mapping[str, NDArray]]]) -> Figure:
    """How the probe's logits of each group are distributed: a row a space, a column a model.

    Args:
        models: by title, by group of entities, by space: (N,) logits, positive where a state looks known.
    """
    spaces = list(next(iter(models.values()))["target"])[:MOST_SPACES]
    figure = Figure(figsize=(4.5 * len(models) + 1, 1.8 * len(spaces) + 0.8), layout="constrained")
    grid = figure.subplots(len(spaces), len(models), squeeze=False, sharex="row")
    for line, space in zip(grid, spaces, strict=True):
        every = np.concatenate([logits[space] for model in models.values() for logits in model.values()])
        low, high = np.quantile(every, [0.005, 0.995])
        edges = np.linspace(low, max(high, low + 1e-6), 41)
        for axes, (title, model) in zip(line, models.items(), strict=True):
            for group, colour in GROUPS.items():
                if group in model:
                    counts = np.histogram(np.clip(model[group][space], low, edges[-1]), edges)[0]
                    axes.stairs(100 * counts / counts.sum(), edges, color=colour, linewidth=1.5, label=group)
            axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
            axes.set_title(f"{space} {title}".strip(), fontsize=9)
            axes.set_ylabel("states [%]", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("probe logit: unknown < 0 < known (end bins hold all beyond)", fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def latents(chosen: Mapping[str, "Chosen"], before: "Groups", after: "Groups") -> Figure:
    """How often each chosen latent fires, by group of entities; the targets before and after."""
    figure = Figure(figsize=(11, 3.2 * len(chosen) + 0.6), layout="constrained")
    grid = figure.subplots(len(chosen), 2, squeeze=False, sharey=True)
    kinds = {
        "known": (before["known" if "known" in before else "probe_known"], GROUPS["known"], "o"),
        "unknown": (before["unknown"], GROUPS["unknown"], "s"),
        "target before": (before["target"], "#E69F00", "^"),
        "target after": (after["target"], GROUPS["target"], "v"),
    }
    for line, (space, sides) in zip(grid, chosen.items(), strict=True):
        for axes, side in zip(line, sides._fields, strict=True):
            which = getattr(sides, side).which
            for label, (codes, colour, marker) in kinds.items():
                rates = firing_rates(codes[space])[which].numpy()
                axes.plot(np.arange(len(which)), 100 * rates, marker, color=colour, label=label)
            axes.set_xticks(np.arange(len(which)), [str(int(j)) for j in which], rotation=90, fontsize=7)
            axes.set(title=f"{space}: latents of {side} entities", xlabel="latent", ylabel="states it fires on [%]")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def embedding(models: Mapping[str, "Groups"], data: "LanguageDataModule", space: str) -> tuple[NDArray, list[str]]:
    """The entities' mean states of target, known and unknown, for TensorBoard's projector, with `group when`."""
    points, labels = [], []
    for when, groups in models.items():
        for group in ("target", "known", "unknown"):
            if group not in groups:
                continue
            owner = entity_numbers(data.entities[group].items)
            sums = np.zeros((owner.max() + 1, groups[group][space].shape[1]), dtype=np.float32)
            np.add.at(sums, owner, groups[group][space].numpy())
            points.append(sums / np.bincount(owner)[:, None])
            labels += [f"{group} {when}"] * len(sums)
    return np.concatenate(points), labels
