"""The lines of a scored log as rows of CSV or JSON, one row a line, in the order of the log."""

import csv
import json
from typing import Any, TextIO

from lit_unlearn.evaluation.logs_scoring import Judgement, Known, LineJudge

COLUMNS = ["line", "score", "percentile", "verdict", "tokens", "message"]
VERDICTS = {True: "anomalous", False: "normal", None: "unknown"}
UNREAD = "unread"
"""The verdict on a line that does not fit the format."""


class CSVRows:
    """Rows line, score, percentile, verdict, tokens, message; tokens read `word:score`, the most suspicious first."""

    top = 0

    def __init__(self, file: TextIO):
        self.file, self.writer = file, csv.writer(file)
        self.writer.writerow(COLUMNS)

    def form(self, text: str, judgement: Judgement) -> tuple[str, ...]:
        percentile = "" if judgement.percentile is None else f"{judgement.percentile:.1f}"
        tokens = " ".join(f"{text[word.start : word.end]}:{word.score:.3g}" for word in judgement.suspicious())
        return f"{judgement.score:.6g}", percentile, VERDICTS[judgement.anomalous], tokens

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        unread = ("", "", UNREAD, "")
        self.writer.writerows(
            (number, *(unread if line is None else line.form), message)
            for number, (message, line) in enumerate(zip(messages, known, strict=True), first)
        )
        self.file.flush()

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        pass


class JSONRows:
    """The same as JSON objects, one a line; tokens are pairs [word, score], and what is not known is null."""

    top = 0

    def __init__(self, file: TextIO):
        self.file = file

    def form(self, text: str, judgement: Judgement) -> str:
        tokens = [[text[word.start : word.end], float(f"{word.score:.3g}")] for word in judgement.suspicious()]
        return _members(
            score=float(f"{judgement.score:.6g}"),
            percentile=judgement.percentile,
            verdict=VERDICTS[judgement.anomalous],
            tokens=tokens,
        )

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        unread = _members(score=None, percentile=None, verdict=UNREAD, tokens=[])
        self.file.writelines(
            f'{{"line": {number}, {unread if line is None else line.form}, "message": {json.dumps(message)}}}\n'
            for number, (message, line) in enumerate(zip(messages, known, strict=True), first)
        )
        self.file.flush()

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        pass


def _members(**members: Any) -> str:
    return json.dumps(members)[1:-1]
