"""What the suite of the logs domain evaluates: the lines of the test part, their distinct texts, windows of lines."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray

from lit_unlearn.errors import RunFailed
from lit_unlearn.metrics.counted_ranking import Counted, counted

if TYPE_CHECKING:
    from datamodules.logs.base import LogDataModule

WINDOW_LINES, WINDOW_SECONDS = 100, 3600


class ScoredLines(NamedTuple):
    """The lines of the test part and their scores.

    Attributes:
        score: (N,) float64 score of each line, in time order.
        tag: (N,) int64 alert tag; 0 for none.
        time: (N,) int64 seconds, rising.
        text: (M,) int64 the distinct texts, as indices into the data's.
        text_score: (M,) float64 their scores; the mean over the occurrences where these differ.
        text_tag: (M,) int64 an alert tag of the text; 0 if it has none in the test part.
        text_count: (M,) int64 how often it occurs in the test part.
        num_conflicts: texts that occur both with and without an alert.
    """

    score: NDArray[np.float64]
    tag: NDArray[np.int64]
    time: NDArray[np.int64]
    text: NDArray[np.int64]
    text_score: NDArray[np.float64]
    text_tag: NDArray[np.int64]
    text_count: NDArray[np.int64]
    num_conflicts: int


def scored_lines(method: LightningModule, data: "LogDataModule", trainer: Trainer) -> ScoredLines:
    """Scores the test part; lines of equal text are scored once, unless the method looks at the lines before.

    Raises:
        RunFailed: a score is not finite.
        RuntimeError: the trainer gave this process only a part of the lines, or the method left some out.
    """
    text, first, place = np.unique(data.line[data.test], return_index=True, return_inverse=True)
    count = np.bincount(place)
    if hasattr(method, "sequence_scores"):
        sequence_scores: Any = method.sequence_scores
        score = _checked(np.asarray(sequence_scores(data), np.float64), len(data.test))
        # The mean as a distance from the first, so that the mean of equal scores is exactly that score.
        text_score = score[first] + np.bincount(place, score - score[first][place]) / count
    else:
        loader: Any = data.loader(text)
        predictions: Any = trainer.predict(method, dataloaders=loader)
        text_score = np.empty(len(text))
        text_score[loader.dataset.order] = _checked(torch.cat(predictions).double().cpu().numpy(), len(text))
        score = text_score[place]
    tag, time = data.tag[data.test], data.time[data.test]
    num_alerts = np.bincount(place, tag > 0)
    text_tag = np.zeros(len(text), np.int64)
    np.maximum.at(text_tag, place, tag)
    order = np.argsort(time, kind="stable")
    return ScoredLines(
        score=score[order],
        tag=tag[order],
        time=time[order],
        text=text,
        text_score=text_score,
        text_tag=text_tag,
        text_count=count,
        num_conflicts=int(((num_alerts > 0) & (num_alerts < count)).sum()),
    )


def level_items(lines: ScoredLines, data: "LogDataModule") -> tuple[dict[str, Counted], list[str]]:
    """The items of each split with their scores and truths, and notes on what they are.

    A window's score is the highest of its lines', and it is anomalous if any of them is.
    """
    alert = lines.tag > 0
    windows = {"window_100": np.arange(len(alert)) // WINDOW_LINES}
    notes = [
        f"distinct lines: {lines.num_conflicts} of {len(lines.text)} texts of the test part occur with and without an "
        "alert; such a text counts as an alert"
    ]
    if np.array_equal(data.time, np.arange(len(data.time))):
        notes.append("detection, split window_60min: absent, the log has no times")
    else:
        windows["window_60min"] = (lines.time - lines.time[0]) // WINDOW_SECONDS
    if data.split == "random":
        notes.append(
            "windows: of lines of the test part, which was drawn at random: neighbours in a window need not have been "
            "neighbours in the log"
        )
    levels = {"line": counted(lines.score, alert), "distinct": counted(lines.text_score, lines.text_tag > 0)}
    for name, window in windows.items():
        starts = np.flatnonzero(np.diff(window, prepend=-1))
        highest, any_alert = np.maximum.reduceat(lines.score, starts), np.logical_or.reduceat(alert, starts)
        levels[name] = counted(highest, any_alert)
    return levels, notes


def _checked(scores: NDArray, num_items: int) -> NDArray:
    if len(scores) != num_items:
        raise RuntimeError(f"{len(scores)} scores for {num_items} lines: the trainer must not share them out")
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise RunFailed(
            f"{len(broken)} of {num_items} line scores are not finite (the first is {scores[broken[0]]}); training "
            f"diverged, lower method.learning_rate and start again with overwrite=true"
        )
    return scores
