"""Pictures of a log detector's test scores. Figures are made as objects, without pyplot and its global state."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from lit_unlearn.evaluation.logs_levels import ScoredLines
from lit_unlearn.metrics.counted_ranking import Counted
from lit_unlearn.metrics.ranking import Ranking
from lit_unlearn.report import Row

if TYPE_CHECKING:
    from datamodules.logs.base import LogDataModule

NORMAL_COLOUR, ALERT_COLOUR = "#0072B2", "#D55E00"  # Okabe & Ito: safe for the colour-blind
SPLIT_STYLES = {
    "line": ("#000000", "-"),
    "distinct": ("#D55E00", "--"),
    "window_100": ("#0072B2", "-."),
    "window_60min": ("#CC79A7", (0, (1, 1))),
}
POLICY_STYLES = {"quantile": "--", "contamination": ":"}
NUM_TOP, LONGEST_TEXT = 20, 140
MOST_TAGS = 40


def score_histogram(lines: Counted, thresholds: Mapping[str, float]) -> Figure:
    """How many lines there are by score, those with an alert beside the others, both axes of numbers logarithmic.

    The axis spans all scores but the outermost .1 % on each side (logarithmic where that is more than a factor of 10);
    what lies beyond is counted in the first and last bins.

    Args:
        lines: the evaluated lines.
        thresholds: by policy; drawn where they lie within the axis.
    """
    scores = np.repeat(lines.scores, lines.counts)
    low, high = np.quantile(scores, [0.001, 0.999])
    logarithmic = low > 0 and high > 10 * low
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = (np.geomspace if logarithmic else np.linspace)(low, high, 61)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    kinds = (("lines without an alert", NORMAL_COLOUR, ~lines.positive), ("alerts", ALERT_COLOUR, lines.positive))
    for label, colour, chosen in kinds:
        if not chosen.any():
            continue
        inside = np.clip(lines.scores[chosen], edges[0], edges[-1])
        counts = np.histogram(inside, edges, weights=lines.counts[chosen])[0]
        axes.stairs(counts, edges, fill=True, alpha=0.2, color=colour, baseline=0.5)
        axes.stairs(counts, edges, color=colour, linewidth=1.5, baseline=0.5, label=f"{label} ({counts.sum()})")
    for policy, threshold in thresholds.items():
        if edges[0] <= threshold <= edges[-1]:
            axes.axvline(threshold, color="black", linestyle=POLICY_STYLES[policy], label=f"threshold {policy}")
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yscale("log")
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0.5, None))
    axes.set(xlabel="anomaly score (end bins hold all that lies beyond)", ylabel="lines")
    axes.set_title("Anomaly scores of the test lines")
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure


def ranking_curves(splits: Mapping[str, tuple[Counted, Ranking]]) -> Figure:
    """ROC and precision-recall curves of the splits, with the areas and their intervals in the legends."""
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    for split, (items, measured) in splits.items():
        colour, line = SPLIT_STYLES[split]
        false_positive_rate, true_positive_rate, _ = roc_curve(items.positive, items.scores, sample_weight=items.counts)
        label = f"{split}: AUROC {_with_interval(measured.auroc, measured.auroc_ci95)}"
        roc.plot(false_positive_rate, true_positive_rate, linestyle=line, color=colour, label=label)
        precision, recall, _ = precision_recall_curve(items.positive, items.scores, sample_weight=items.counts)
        precision[-1] = precision[-2]  # flagging nothing counts as 1, which would be drawn as a line at recall 0
        label = f"{split}: AUPRC {_with_interval(measured.auprc, measured.auprc_ci95)}"
        pr.plot(recall, precision, linestyle=line, color=colour, label=label, drawstyle="steps-post")
        pr.axhline(items.num_positive / items.num_items, color=colour, linestyle=":", linewidth=1)
    roc.axline((0, 0), slope=1, color="grey", linestyle=":", linewidth=1, label="chance")
    pr.plot([], [], color="grey", linestyle=":", linewidth=1, label="chance (share of alerts)")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    pr.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    for axes in (roc, pr):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", anchor="N")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)}
        axes.legend(**below, title="split: area (95 % interval)", fontsize=9, title_fontsize=9)
    return figure


def tag_recall(rows: Sequence[Row]) -> Figure:
    """The recall of each alert tag at the quantile threshold as a bar, and its AUROC as a point.

    Args:
        rows: detection/recall and detection/auroc of the tags, in the order to show them; MOST_TAGS are shown.
    """
    sizes = {row.split: row.n for row in rows}
    shown = list(sizes)[:MOST_TAGS]
    figure = Figure(figsize=(8, 1.2 + 0.26 * len(shown)), layout="constrained")
    axes = figure.subplots()
    values = {(row.metric, row.split): row.value for row in rows}
    recalls = [values[("recall", tag)] for tag in shown if ("recall", tag) in values]
    if recalls:
        axes.barh(range(len(shown)), recalls, color=ALERT_COLOUR, alpha=0.6, label="recall at the quantile threshold")
    aurocs = [values[("auroc", tag)] for tag in shown]
    axes.plot(aurocs, range(len(shown)), "o", color="black", markersize=4, label="AUROC", clip_on=False)
    labels = [f"{_printable(tag)[:40]} ({sizes[tag]})" for tag in shown]
    axes.set_yticks(range(len(shown)), labels=labels, fontsize=8, parse_math=False)
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6), xlabel="recall; AUROC against all lines without an alert")
    left_out = f", the {MOST_TAGS} most frequent of {len(sizes)}" if len(sizes) > MOST_TAGS else ""
    axes.set_title(f"Alert tags and their test lines{left_out}")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def top_lines(lines: ScoredLines, data: "LogDataModule") -> Figure:
    """The distinct lines with the highest scores as a table; among equal scores the more frequent first."""
    top = np.lexsort((-lines.text_count, -lines.text_score))[:NUM_TOP]
    figure = Figure(figsize=(13, 0.9 + 0.24 * len(top)), layout="constrained")
    axes = figure.subplots()
    for column, name in ((0.0, "score"), (0.07, "lines"), (0.12, "tag"), (0.22, "text")):
        axes.text(column, -1, name, fontsize=9, weight="bold")
    for row, line in enumerate(top):
        text, tag = _printable(data.texts[lines.text[line]]), _printable(data.tags[lines.text_tag[line]])
        shown = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ..."
        cells = {0.0: f"{lines.text_score[line]:.4g}", 0.07: str(lines.text_count[line]), 0.12: tag[:14], 0.22: shown}
        colour = ALERT_COLOUR if lines.text_tag[line] else NORMAL_COLOUR
        for column, cell in cells.items():
            axes.text(column, row, cell, fontsize=8, family="monospace", color=colour, parse_math=False)
    axes.set(xlim=(0, 1), ylim=(len(top) - 0.5, -1.8))
    axes.set_axis_off()
    axes.set_title("The test part's distinct lines with the highest scores")
    return figure


def _printable(text: str) -> str:
    """ASCII with escapes: log lines hold control characters, and letters that the font has not."""
    return text.encode("unicode_escape").decode("ascii")


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
