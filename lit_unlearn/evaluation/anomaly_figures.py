"""Pictures of a detector's test scores. Figures are made as objects, without pyplot and its global state."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve
from torch import Tensor

from datamodules.anomaly.batches import NORMAL, SEEN, UNSEEN
from lit_unlearn.metrics.ranking import Ranking

KINDS = {NORMAL: "normal", SEEN: "seen", UNSEEN: "unseen"}
LABELS = {NORMAL: "normal items", SEEN: "anomalies of seen kinds", UNSEEN: "anomalies of unseen kinds"}
KIND_COLOURS = {NORMAL: "#0072B2", SEEN: "#E69F00", UNSEEN: "#CC79A7"}  # Okabe & Ito: safe for the colour-blind
SPLIT_STYLES = {"all": ("#000000", "-"), "seen": ("#E69F00", "--"), "unseen": ("#CC79A7", "-.")}
COLUMNS = 10


def score_histogram(scores: NDArray, kind: NDArray) -> Figure:
    """The shares of each kind's items by score.

    The axis spans the middle 99 % of all scores (logarithmic where that is more than a factor of 10); what lies
    beyond is counted in the first and last bins, so that a heavy tail does not squeeze the rest.
    """
    low, high = np.quantile(scores, [0.005, 0.995])
    logarithmic = low > 0 and high > 10 * low
    if low == high:
        low, high = low - 0.5, high + 0.5
    num_bins = int(np.clip(np.sqrt(len(scores)), 10, 50))
    edges = (np.geomspace if logarithmic else np.linspace)(low, high, num_bins + 1)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for k, label in LABELS.items():
        if not (kind == k).any():
            continue
        counts = np.histogram(np.clip(scores[kind == k], edges[0], edges[-1]), edges)[0]
        share = 100 * counts / counts.sum()
        axes.stairs(share, edges, fill=True, alpha=0.15, color=KIND_COLOURS[k])
        axes.stairs(share, edges, color=KIND_COLOURS[k], linewidth=1.5, label=f"{label} ({counts.sum()})")
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(edges[0], edges[-1])
    axes.set(xlabel="anomaly score (end bins hold all that lies beyond)", ylabel="items of the kind [%]")
    axes.set_title("Anomaly scores of the test items")
    axes.legend()
    return figure


def ranking_curves(
    scores: NDArray, kind: NDArray, members: Mapping[str, NDArray], rankings: Mapping[str, Ranking]
) -> Figure:
    """ROC and precision-recall curves of the splits, with the areas and their intervals in the legends.

    Args:
        members: (N,) bool by split: the items it ranks.
        rankings: what was measured of the splits all, seen and unseen, as far as there are such items.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    for split, measured in rankings.items():
        chosen = members[split]
        truth = kind[chosen] != NORMAL
        colour, line = SPLIT_STYLES[split]
        false_positive_rate, true_positive_rate, _ = roc_curve(truth, scores[chosen])
        label = f"{split}: AUROC {_with_interval(measured.auroc, measured.auroc_ci95)}"
        roc.plot(false_positive_rate, true_positive_rate, line, color=colour, label=label)
        precision, recall, _ = precision_recall_curve(truth, scores[chosen])
        label = f"{split}: AUPRC {_with_interval(measured.auprc, measured.auprc_ci95)}"
        pr.plot(recall, precision, line, color=colour, label=label, drawstyle="steps-post")
        pr.axhline(truth.mean(), color=colour, linestyle=":", linewidth=1)
    roc.axline((0, 0), slope=1, color="grey", linestyle=":", linewidth=1, label="chance")
    pr.plot([], [], color="grey", linestyle=":", linewidth=1, label="chance (share of anomalies)")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    pr.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    for axes, place in ((roc, "lower right"), (pr, "lower left")):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.legend(loc=place, title="split: area (95 % interval)", fontsize=9, title_fontsize=9)
    return figure


def are_pictures(x: Tensor) -> bool:
    """Whether items are (C, H, W) pictures that can be shown, grey or colour."""
    return x.dim() == 4 and x.shape[1] in (1, 3)


def extremes(x: Tensor, scores: NDArray, kind: NDArray) -> Figure:
    """The items with the lowest and the highest scores, and the worst mistakes: normals far up, anomalies far down.

    Args:
        x: (N, C, H, W) in [0, 1].
    """
    rising = np.argsort(scores, kind="stable")
    rows = {
        "lowest scores of all": rising,
        "highest scores of all": rising[::-1],
        "normal items with the highest scores": rising[kind[rising] == NORMAL][::-1],
        "anomalies with the lowest scores": rising[kind[rising] != NORMAL],
    }
    rows = {title: items[:COLUMNS].copy() for title, items in rows.items()}
    return _grid(
        "Test items by anomaly score",
        {title: x[items].unsqueeze(1) for title, items in rows.items()},
        {title: [f"{KINDS[kind[i]]} {_short(scores[i])}" for i in items] for title, items in rows.items()},
        {title: [KIND_COLOURS[kind[i]] for i in items] for title, items in rows.items()},
    )


def spread_over_scores(scores: NDArray, kind: NDArray) -> NDArray[np.int64]:
    """Items of each kind from its lowest to its highest score, evenly spaced in rank; COLUMNS of each at most."""
    rising = np.argsort(scores, kind="stable")
    groups = [rising[kind[rising] == k] for k in KINDS if (kind == k).any()]
    places = [np.unique(np.linspace(0, len(group) - 1, COLUMNS).round().astype(int)) for group in groups]
    return np.concatenate([group[place] for group, place in zip(groups, places, strict=True)])


def reconstructions(x: Tensor, restored: Tensor, scores: NDArray, kind: NDArray) -> Figure:
    """Originals above what the autoencoder makes of them, a row for each kind.

    Args:
        x, restored: (N, C, H, W) in [0, 1].
        scores, kind: (N,), in the order in which the items are shown.
    """
    pairs = torch.stack([x, restored], dim=1)
    rows = {label: kind == k for k, label in LABELS.items() if (kind == k).any()}
    return _grid(
        "Originals above their reconstructions, from the lowest to the highest score of each kind",
        {name: pairs[torch.from_numpy(chosen)] for name, chosen in rows.items()},
        {name: [_short(score) for score in scores[chosen]] for name, chosen in rows.items()},
        {name: [KIND_COLOURS[k] for k in kind[chosen]] for name, chosen in rows.items()},
    )


def _grid(title: str, rows: dict[str, Tensor], captions: dict[str, list[str]], colours: dict[str, list[str]]) -> Figure:
    """Rows of framed tiles with captions, in one axes (an axes for each tile takes seconds to lay out).

    Args:
        rows: (n, K, C, H, W) in [0, 1] by the row's title: n tiles, at most COLUMNS, of K pictures above each other.
        captions, colours: a caption and a frame's colour for each tile, by the row's title.
    """
    layers, _, height, width = next(iter(rows.values())).shape[1:]
    picture_height = height / width
    tile_height = layers * picture_height + (layers - 1) * 0.03
    pitch = tile_height + 0.58  # room for the title above and the captions below
    figure = Figure(figsize=(COLUMNS, len(rows) * pitch * 0.92 + 0.45), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    for row, (name, tiles) in enumerate(rows.items()):
        top = row * pitch + 0.25
        axes.text(0.02, top - 0.06, name, fontsize=9, va="bottom")
        for column, tile in enumerate(tiles):
            left = column * 1.08 + 0.02
            for layer, picture in enumerate(tile):
                above = top + layer * (picture_height + 0.03)
                _show(axes, picture, (left, left + 1, above + picture_height, above))
            colour, caption = colours[name][column], captions[name][column]
            axes.add_patch(Rectangle((left, top), 1, tile_height, fill=False, linewidth=2, edgecolor=colour))
            axes.text(left + 0.5, top + tile_height + 0.13, caption, fontsize=7, ha="center", va="baseline")
    axes.set(xlim=(0, COLUMNS * 1.08), ylim=(len(rows) * pitch - 0.1, 0), aspect="equal")
    axes.set_axis_off()
    return figure


def _show(axes: Axes, picture: Tensor, box: tuple[float, float, float, float]) -> None:
    """Draws a (C, H, W) picture into (left, right, bottom, top)."""
    pixels = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    axes.imshow(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=1, extent=box)


def _short(score: float) -> str:
    return f"{score:#.3g}".rstrip(".")


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
