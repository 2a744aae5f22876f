"""Scoring a log of any length with a trained detector: one pass, constant memory, each distinct text scored once."""

import heapq
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from datamodules.logs.formats import LogFormat
from datamodules.logs.reading import LogReader
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation.logs_judging import Judgement, LineJudge

CHUNK = 2_000_000
"""Bytes of the log that are looked at together; so many that lines of about the same length are found for a batch."""

REMEMBERED_TEXTS, REMEMBERED_MESSAGES = 50_000, 50_000
"""Texts whose score, and messages whose preprocessed text, are remembered; these bound the memory."""

TRIED = 1000
"""Lines of which one at least must fit the format."""


class Known:
    """A distinct text of the log: its score, what is written of it, how often it occurred and in which line first."""

    __slots__ = ("anomalous", "count", "first", "form", "score")

    def __init__(self, judgement: Judgement, form: Any, first: int):
        self.score, self.anomalous, self.form, self.first = judgement.score, bool(judgement.anomalous), form, first
        self.count = 0


class Output(Protocol):
    """Where scored lines go.

    `top`: how many of the most abnormal texts are to be kept to the end.
    """

    top: int

    def form(self, text: str, judgement: Judgement) -> Any:
        """What is remembered of a text, to write its lines with."""

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        """Takes lines from number `first` on: messages, and their texts; None for lines not in the format."""

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        """Takes the most abnormal texts, most abnormal first."""


class Cutter:
    """Cuts lines into messages and makes texts of them, as in training; remembers the texts of recent messages.

    Args:
        layout: cuts lines.
        preprocess: makes texts of messages.
    """

    def __init__(self, layout: LogFormat, preprocess: Callable[[str], str]):
        self.layout, self.preprocess = layout, preprocess
        self.recent: dict[str, str] = {}

    def __call__(self, lines: list[str]) -> tuple[list[str], list[str | None]]:
        """The message and the text of each line; of one that is not in the format, the line itself and None."""
        messages: list[str] = []
        texts: list[str | None] = []
        if len(self.recent) > REMEMBERED_MESSAGES:
            self.recent.clear()
        for line in lines:
            record = self.layout.parse(line)  # no list of records: so many tuples set off the garbage collector
            if record is None:
                messages.append(line)
                texts.append(None)
                continue
            text = self.recent.get(record.message)
            if text is None:
                text = self.recent[record.message] = self.preprocess(record.message)
            messages.append(record.message)
            texts.append(text)
        return messages, texts


def score_log(
    judge: LineJudge, log: LogReader, layout: LogFormat, preprocess: Callable[[str], str], output: Output, show: bool
) -> str:
    """Scores the lines of a log one after another.

    Args:
        judge: the detector.
        log: the lines.
        layout: cuts lines.
        preprocess: makes texts of messages, as in training.
        output: takes what was found.
        show: a progress bar, if standard error is a terminal.

    Returns:
        how many lines were scored, how many are anomalous, and what was wrong with others.

    Raises:
        UserError: the log cannot be read, or none of its first lines fits the format.
        RunFailed: a score is not finite.
    """
    known: dict[str, Known] = {}
    cut = Cutter(layout, preprocess)
    num_lines = num_scored = num_anomalous = 0
    bar = tqdm(unit=" lines", unit_scale=True, disable=None if show else True, file=sys.stderr)
    for lines in log.chunks(CHUNK):
        messages, texts = cut(lines)
        first = dict(zip(reversed(texts), range(num_lines + len(lines), num_lines, -1), strict=True))
        occurrences = Counter(text for text in texts if text is not None)
        new = [text for text in occurrences if text not in known]
        for text, judgement in zip(new, judge(new), strict=True):
            known[text] = Known(judgement, output.form(text, judgement), first[text])
        for text, times in occurrences.items():
            known[text].count += times
            num_scored += times
            num_anomalous += times * known[text].anomalous
        output.write(num_lines + 1, messages, [None if text is None else known[text] for text in texts])
        num_lines += len(lines)
        bar.update(len(lines))
        if num_scored == 0 and num_lines >= TRIED:
            break
        forget(known, output.top)
    bar.close()
    if num_scored == 0:
        raise UserError(
            f"input={log.name}: none of the first {num_lines} lines fits the format of the log that the method was "
            f"trained on ({type(layout).__name__.lower()}); give a log of that format, or layout=plain to take whole "
            "lines as messages"
        )
    summary = counts(log, num_scored, num_anomalous if np.isfinite(judge.quantiles).all() else None)
    output.end(most_abnormal(known, output.top), judge, summary)
    return summary


def most_abnormal(known: dict[str, Known], most: int) -> list[tuple[str, Known]]:
    """Texts of the highest scores, of equal ones those that came first."""
    return heapq.nsmallest(most, known.items(), key=lambda item: (-item[1].score, item[1].first))


def forget(known: dict[str, Known], top: int) -> None:
    """Drops the older half of too many texts, but not the most abnormal ones.

    A text among the most abnormal of the whole log has been among them since it first occurred, so its count is exact.
    """
    if len(known) > REMEMBERED_TEXTS:
        kept = {text for text, _ in most_abnormal(known, top)}
        for text in list(known)[: len(known) // 2]:
            if text not in kept:
                del known[text]


def counts(log: LogReader, num_scored: int, num_anomalous: int | None) -> str:
    """One line that says what became of the lines of a log."""
    verdicts = "no verdicts (the run had no validation)" if num_anomalous is None else f"{num_anomalous} anomalous"
    parts = [f"{num_scored} lines scored", verdicts]
    for number, what in (
        (log.num_lines - num_scored, "not in the format"),
        (log.num_replaced, "with invalid UTF-8 replaced"),
        (log.num_cut, "cut"),
    ):
        if number:
            parts.append(f"{number} {what}")
    return ", ".join(parts)
