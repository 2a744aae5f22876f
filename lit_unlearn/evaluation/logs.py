"""Suite of the logs domain: how well a detector's scores tell alerts, by line, by distinct line and by window."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np
from lightning import LightningModule, Trainer
from numpy.typing import NDArray

from datamodules.logs.formats import Plain
from datamodules.logs.reading import LogReader
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import logs_figures as figures
from lit_unlearn.evaluation.logs_export import export as export
from lit_unlearn.evaluation.logs_judging import LineJudge
from lit_unlearn.evaluation.logs_levels import ScoredLines, level_items, scored_lines
from lit_unlearn.evaluation.logs_rows import CSVRows, JSONRows
from lit_unlearn.evaluation.logs_scoring import Output, score_log
from lit_unlearn.evaluation.logs_views import Page, Terminal
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.counted_ranking import Counted, counted_ranking
from lit_unlearn.metrics.ranking import Ranking
from lit_unlearn.metrics.thresholds import Decisions, decisions, oracle_f1, quantile_threshold, share_threshold
from lit_unlearn.report import Row, atomic_file, reconstruction

if TYPE_CHECKING:
    from datamodules.logs.base import LogDataModule

QUANTILE = 999
"""Which of the method's 1001 quantiles of held-out lines is a threshold: .999."""

INTERVALS = (
    "intervals: bootstrap of the items of each split, normal ones and alerts apart, as if they were independent; lines "
    "repeat, so that those of split line are too narrow (split distinct draws each text once); they do not cover the "
    "choice of seed; tags have none"
)


class Split(NamedTuple):
    """A split's items, how they are ranked, and what each threshold policy decides."""

    items: Counted
    ranking: Ranking
    decided: dict[str, Decisions]


def evaluate(method: LightningModule, data: "LogDataModule", trainer: Trainer) -> Evaluation:
    """Scores the distinct lines of the test part once and compares lines, distinct lines, windows and alert tags.

    Every process scores all lines, so each ends with the same result; the trainer must not distribute samplers.

    Args:
        method: a trained detector, `predict_step(LineBatch) -> (B,) scores`, higher for what is more abnormal, with
            (1001,) `unlabeled_quantiles` of the scores of held-out training lines. One whose scores depend on the
            lines before has `sequence_scores(data) -> (len(data.test),)` instead.
        data: the data it was trained on, set up.
        trainer: runs the prediction.

    Returns:
        rows: detection/auroc, auprc and, for the threshold policies oracle, quantile and contamination, f1_*,
            precision_*, recall_*, specificity_* for the splits line, distinct, window_100 and window_60min, as far as
            they have both kinds of items; detection/recall and auroc for each alert tag; data/seen_share, items and
            contamination.

    Raises:
        RunFailed: a score is not finite.
    """
    lines = scored_lines(method, data, trainer)
    levels, level_notes = level_items(lines, data)
    thresholds, threshold_notes = line_thresholds(method, levels["line"])
    splits, missing = measure(levels, thresholds)
    tags = tag_rows(lines, data.tags, thresholds.get("quantile")) if "line" in splits else []
    drawn = {"scores": figures.score_histogram(levels["line"], thresholds), "top_lines": figures.top_lines(lines, data)}
    if splits:
        drawn["curves"] = figures.ranking_curves({name: (split.items, split.ranking) for name, split in splits.items()})
    if tags:
        drawn["tags"] = figures.tag_recall(tags)
    return Evaluation(
        rows=[*detection_rows(splits), *tags, *data_rows(data)],
        notes=[
            *reconstruction(type(method)),
            *data_notes(data),
            *level_notes,
            *missing,
            *([*threshold_notes, INTERVALS] if splits else []),
        ],
        figures=drawn,
        histograms={
            f"scores/{name}": lines.score[chosen]
            for name, chosen in (("normal", lines.tag == 0), ("alert", lines.tag > 0))
            if chosen.any()
        },
        pr_curves={f"pr/{name}": _pr_curve(split.items) for name, split in splits.items()},
    )


def score(
    method: LightningModule,
    data: "LogDataModule",
    trainer: Trainer,
    source: str,
    output: str | None,
    layout: str | None = None,
) -> str:
    """Scores the lines of a log of any length as they come; what is written is in `logs_rows` and `logs_views`.

    Args:
        method: a trained detector.
        data: the data module it was trained with, not set up, with the tokenizer of the checkpoint.
        trainer: says on which device and in which precision.
        source: a file, plain, .gz or .xz, or `-` for standard input.
        output: FILE.csv, FILE.jsonl or FILE.html; `-` writes CSV to standard output line by line, None the most
            abnormal texts.
        layout: `plain` takes whole lines as messages; None cuts them as in training.

    Returns:
        a line that says how many lines were scored, and where they are.

    Raises:
        UserError: the log cannot be read or does not fit the detector, or the output's name says no format.
        RunFailed: a score is not finite.
    """
    judge = LineJudge(method, data.tokenizer, trainer)
    log, format_ = LogReader(source), Plain() if layout == "plain" else data.format
    with _opened(output, source) as opened:
        summary = score_log(judge, log, format_, data.preprocess, opened, show=output != "-")
    return summary if output in (None, "-") else f"{summary}: {output}"


@contextmanager
def _opened(output: str | None, source: str) -> Iterator[Output]:
    if output is None:
        yield Terminal(sys.stdout)
    elif output == "-":
        yield CSVRows(sys.stdout)
    else:
        page = partial(Page, title=f"Anomalies in {source}")
        kinds: dict[str, Callable[[TextIO], Output]] = {".csv": CSVRows, ".jsonl": JSONRows, ".html": page}
        kind = kinds.get(Path(output).suffix)
        if kind is None:
            raise UserError(f"output={output}: must end in .csv, .jsonl or .html, or be - for standard output")
        if Path(output).resolve() == Path(source).resolve():
            raise UserError(f"output={output}: is the log itself; give another name")
        with atomic_file(Path(output)) as file:
            yield kind(file)


def line_thresholds(method: LightningModule, lines: Counted) -> tuple[dict[str, float], list[str]]:
    """The thresholds on lines that hold for all splits, by policy, and notes on how decisions are made."""
    quantiles: Any = method.unlabeled_quantiles
    held_out, share = float(quantiles[QUANTILE]), lines.num_positive / lines.num_items
    flagging = share_threshold(lines.scores, lines.counts, share)
    notes = [
        "threshold policies: an item is flagged when its score is above the threshold; distinct lines and windows go "
        "by the thresholds on lines, except the oracle's",
        "policy oracle: the highest F1 on the evaluated items of each split, as papers have it; optimistic, since no "
        "user knows that threshold",
        f"policy contamination: {flagging:.6g}; the share of alerts among the evaluated lines, {100 * share:.3g} %, is "
        f"taken as known and flagged as closely as equal scores allow: {_flagged(lines, flagging)}",
    ]
    if not np.isfinite(held_out):
        return {"contamination": flagging}, [
            *notes,
            "policy quantile: absent, the method knows no held-out lines' scores",
        ]
    quantile = quantile_threshold(held_out)
    notes.append(
        f"policy quantile: {held_out:.6g}, the .999 quantile of the scores of held-out training lines; what scores "
        f"higher is flagged: {_flagged(lines, quantile)} of the evaluated lines"
    )
    return {"quantile": quantile, "contamination": flagging}, notes


def measure(levels: dict[str, Counted], thresholds: dict[str, float]) -> tuple[dict[str, Split], list[str]]:
    """What is measured of each split that has both kinds of items, and a note on each that has not."""
    splits, notes = {}, []
    for name, items in levels.items():
        if items.num_positive in (0, items.num_items):
            missing = "no alert" if items.num_positive == 0 else "nothing without an alert"
            notes.append(f"detection, split {name}: absent, the test part holds {missing}")
            continue
        policies = {"oracle": oracle_f1(*items)[0], **thresholds}
        decided = {policy: decisions(*items, threshold) for policy, threshold in policies.items()}
        splits[name] = Split(items, counted_ranking(items), decided)
    return splits, notes


def detection_rows(splits: dict[str, Split]) -> list[Row]:
    n = {name: split.items.num_items for name, split in splits.items()}
    areas_of = {name: split.ranking for name, split in splits.items()}
    auroc = [Row("detection", s, "auroc", r.auroc, n[s], r.auroc_ci95, "higher") for s, r in areas_of.items()]
    auprc = [Row("detection", s, "auprc", r.auprc, n[s], r.auprc_ci95, "higher") for s, r in areas_of.items()]
    policies = list(next(iter(splits.values())).decided) if splits else []
    return (
        auroc
        + auprc
        + [
            Row(
                "detection", name, f"{metric}_{policy}", getattr(split.decided[policy], metric), n[name], None, "higher"
            )
            for policy in policies
            for metric in Decisions._fields
            for name, split in splits.items()
        ]
    )


def tag_rows(lines: ScoredLines, tags: list[str], quantile: float | None) -> list[Row]:
    """For each alert tag of the test part, the most frequent first: the recall at the quantile threshold, if there is
    one, and how its lines rank against all lines without an alert; n is the number of its lines."""
    normal = np.sort(lines.score[lines.tag == 0])
    counts = np.bincount(lines.tag, minlength=len(tags))
    recalls, aurocs = [], []
    for tag in sorted(np.flatnonzero(counts[1:]) + 1, key=lambda tag: -counts[tag]):
        own, n = lines.score[lines.tag == tag], int(counts[tag])
        below, not_above = (np.searchsorted(normal, own, side).mean() for side in ("left", "right"))
        auroc = float(below + not_above) / 2 / len(normal)  # ties count half
        aurocs.append(Row("detection", tags[tag], "auroc", auroc, n, None, "higher"))
        if quantile is not None:
            recalls.append(Row("detection", tags[tag], "recall", float((own > quantile).mean()), n, None, "higher"))
    return recalls + aurocs


def data_rows(data: "LogDataModule") -> list[Row]:
    """How many lines there are, how many are alerts, and how much of the test part training met word for word."""
    seen = np.isin(data.line[data.test], data.line[data.train]).mean()
    rows = [Row("data", "test", "seen_share", float(seen), len(data.test), None, "target")]
    for name, part in (("train", data.train), ("test", data.test)):
        rows.append(Row("data", name, "items", len(part), len(part), None, "target"))
    if not data.unlabeled:
        share = float((data.tag[data.test] > 0).mean())
        rows.append(Row("data", "test", "contamination", share, len(data.test), None, "target"))
    return rows


def data_notes(data: "LogDataModule") -> list[str]:
    """The hashes of the split, lines that were left out, and labels that there are none of."""
    hashes = ", ".join(f"{part} {digits}" for part, digits in data.hashes().items())
    notes = [f"split {data.split}: {hashes} (SHA-256 of the line numbers)"]
    if data.num_dropped:
        notes.append(f"{data.num_dropped} of {data.num_read} lines left out: they do not fit the format")
    if data.reader is not None:
        found = {"had invalid UTF-8, replaced": data.reader.num_replaced, "were cut": data.reader.num_cut}
        notes += [f"{number} of {data.num_read} lines {what}" for what, number in found.items() if number]
    if data.unlabeled:
        notes.append("the log was read without labels: what is normal and what an alert is not known")
    return notes


def _flagged(lines: Counted, threshold: float) -> str:
    return f"{100 * lines.counts[lines.scores > threshold].sum() / lines.num_items:.3g} %"


def _pr_curve(items: Counted) -> tuple[NDArray, NDArray]:
    """Truths and scores as ranks in (0, 1]: TensorBoard's thresholds are evenly spaced there."""
    ranks = np.unique(items.scores, return_inverse=True)[1] + 1
    return np.repeat(items.positive, items.counts), np.repeat(ranks / ranks.max(), items.counts)
