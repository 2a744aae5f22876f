"""The lines of a scored log as rows of CSV or JSON, one row a line, in the order of the log."""

import json
from typing import Any, TextIO

from lit_unlearn.evaluation.logs_judging import Judgement, LineJudge
from lit_unlearn.evaluation.logs_scoring import Known

COLUMNS = ["line", "score", "percentile", "verdict", "tokens", "message"]
VERDICTS = {True: "anomalous", False: "normal", None: "unknown"}
UNREAD = "unread"
"""The verdict on a line that does not fit the format."""


class CSVRows:
    """Rows line, score, percentile, verdict, tokens, message; tokens read `word:score`, the most suspicious first."""

    top = 0

    def __init__(self, file: TextIO):
        self.file = file
        file.write(",".join(COLUMNS) + "\n")
        file.flush()

    def form(self, text: str, judgement: Judgement) -> str:
        percentile = "" if judgement.percentile is None else f"{judgement.percentile:.1f}"
        tokens = " ".join(f"{text[word.start : word.end]}:{word.score:.3g}" for word in judgement.suspicious())
        return f"{judgement.score:.6g},{percentile},{VERDICTS[judgement.anomalous]},{_quoted(tokens)}"

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        unread = f",,{UNREAD},"
        self.file.writelines(
            f"{number},{unread if line is None else line.form},{_quoted(message)}\n"
            for number, (message, line) in enumerate(zip(messages, known, strict=True), first)
        )
        self.file.flush()

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        pass


def _quoted(text: str) -> str:
    """As in RFC 4180; the csv module does the same in thrice the time."""
    if "," in text or '"' in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


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
