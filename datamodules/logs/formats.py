"""How a line of a log is cut into message, label and time.

BGL, Thunderbird and Spirit are supercomputer logs of the same making (Oliner and Stearley 2007): space-separated
columns, the first an alert's type or `-` for a normal line, the second the time in seconds since 1970. HDFS (Xu et
al. 2009) labels whole blocks of the file system, in a table beside the log. Any other log is described by column
numbers or a regular expression, or is plain text.
"""

import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lit_unlearn.errors import UserError

NORMAL = "-"
"""The tag of a normal line."""


class Record(NamedTuple):
    """What a line holds.

    Attributes:
        message: what is scored.
        tag: type of the alert, `-` for a normal line; None where the format has no labels.
        time: seconds since 1970; None where the format has no time. A line whose time cannot be read does not fit.
    """

    message: str
    tag: str | None
    time: int | None


class LogFormat:
    """A way to read a line. `parse` gives None for a line that does not fit; the caller counts these."""

    def parse(self, line: str) -> Record | None:
        raise NotImplementedError


class Columns(LogFormat):
    """Columns separated by runs of white space, numbered from 0; the message goes on to the end of the line.

    A column that is absent shifts the ones behind it: nothing in such a line tells that it is not whole.

    Args:
        message: first column of the message.
        label: column of the tag; None for a log without labels.
        time: column of the time, in seconds since 1970 (a fraction is cut off) or as ISO 8601 without spaces, then
            taken as UTC unless it names a zone; None for a log without times.
        normal: the label of normal lines, which becomes the tag `-`.
        empty: keep lines that end before the message, as lines without words.

    Raises:
        UserError: a column is negative, or label or time lie within the message.
    """

    def __init__(
        self,
        message: int = 0,
        label: int | None = None,
        time: int | None = None,
        normal: str = NORMAL,
        empty: bool = False,
    ):
        for name, column in (("label", label), ("time", time), ("message", message)):
            if column is not None and not 0 <= column <= message:
                raise UserError(f"data.layout: {name}={column} must be a column from 0 to message={message}")
        if message in (label, time):
            raise UserError(
                f"data.layout: the message begins at column {message}, which is the column of the label or the time; "
                "label and time must lie before it"
            )
        self.message, self.label, self.time, self.normal, self.empty = message, label, time, normal, empty

    def parse(self, line: str) -> Record | None:
        columns = line.split(None, self.message)
        if len(columns) <= self.message:
            if not (self.empty and len(columns) == self.message):
                return None
            columns.append("")
        tag = time = None
        if self.label is not None:
            tag = columns[self.label]
            if tag == self.normal:
                tag = NORMAL
        if self.time is not None:
            time = seconds(columns[self.time])
            if time is None:
                return None
        return Record(columns[self.message], tag, time)


class Regex(LogFormat):
    r"""A regular expression with the groups `message` and, if there are such, `label` and `time`.

    The expression must fit from the beginning of the line: `(?P<time>\S+) (?P<label>\S+) (?P<message>.*)`.

    Args:
        pattern: in Python's syntax; times are read as by `Columns`.
        normal: the label of normal lines, which becomes the tag `-`; so does a label group that took no part.

    Raises:
        UserError: the pattern cannot be compiled or lacks the group `message`.
    """

    def __init__(self, pattern: str, normal: str = NORMAL):
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise UserError(f"data.layout: {pattern!r} is no regular expression: {error}") from error
        groups = self.pattern.groupindex
        if "message" not in groups:
            raise UserError(f"data.layout: {pattern!r} lacks the group (?P<message>...), which says what is scored")
        self.normal, self.has_label, self.has_time = normal, "label" in groups, "time" in groups

    def parse(self, line: str) -> Record | None:
        match = self.pattern.match(line)
        if match is None:
            return None
        tag = time = None
        if self.has_label:
            tag = match["label"]
            if tag is None or tag == self.normal:
                tag = NORMAL
        if self.has_time:
            time = seconds(match["time"] or "")
            if time is None:
                return None
        return Record(match["message"] or "", tag, time)


class Plain(LogFormat):
    """The whole line is the message; a blank line does not fit."""

    def parse(self, line: str) -> Record | None:
        return Record(line, None, None) if line and not line.isspace() else None


class HDFS(LogFormat):
    """`081109 203518 143 INFO dfs.DataNode$PacketResponder: ... blk_38865049064139660 ...`, from the level on.

    Args:
        labels: `anomaly_label.csv` of the data set, with the columns BlockId and Label (Normal or Anomaly). A line is
            tagged Anomaly if a block it names is one. None: the lines have no labels.

    Raises:
        UserError: the table is absent or does not have these columns.
    """

    def __init__(self, labels: str | Path | None = None):
        self.anomalous = None if labels is None else _anomalous_blocks(Path(labels))

    def parse(self, line: str) -> Record | None:
        columns = line.split(None, 3)
        if len(columns) < 4:
            return None
        time = _hdfs_time(columns[0], columns[1])
        if time is None:
            return None
        tag = None
        if self.anomalous is not None:
            tag = NORMAL if self.anomalous.isdisjoint(_BLOCK.findall(columns[3])) else "Anomaly"
        return Record(columns[3], tag, time)


_BLOCK = re.compile(r"blk_-?[0-9]+")


def _anomalous_blocks(path: Path) -> frozenset[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not {"BlockId", "Label"} <= set(rows.fieldnames or []):
                raise UserError(f"data.labels={path}: a table with the columns BlockId and Label is needed")
            return frozenset(row["BlockId"] for row in rows if row["Label"] == "Anomaly")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.labels={path}: cannot be read: {error}") from error


def _hdfs_time(date: str, clock: str) -> int | None:
    if len(date) != 6 or len(clock) != 6 or not clock.isdecimal():
        return None
    day = _day(date)
    return None if day is None else day + int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + int(clock[4:])


@lru_cache(1000)  # a log has few days; strptime takes longer than all the rest of a line
def _day(date: str) -> int | None:
    try:
        return int(datetime.strptime(date, "%y%m%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def seconds(text: str) -> int | None:
    """Seconds since 1970 of `1117838570`, `1117838570.36` or an ISO 8601 date and time; None for anything else."""
    if text.isdecimal():
        return int(text) if len(text) < 19 else None  # more does not fit 64 bits
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        whole, point, fraction = text.partition(".")
        return int(whole) if point and whole.isdecimal() and fraction.isdecimal() and len(whole) < 19 else None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _bgl() -> LogFormat:
    # - 1117838570 2005.06.03 NODE 2005-06-03-15.42.50.363779 NODE RAS KERNEL INFO message; some end after the level
    return Columns(label=0, time=1, message=6)


def _syslog_cluster() -> LogFormat:
    # - 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed for user root
    return Columns(label=0, time=1, message=8, empty=True)


FORMATS: dict[str, Callable[..., LogFormat]] = {
    "bgl": _bgl,
    "thunderbird": _syslog_cluster,
    "spirit": _syslog_cluster,
    "hdfs": HDFS,
    "columns": Columns,
    "regex": Regex,
    "plain": Plain,
}


def named(name: str, **config: Any) -> LogFormat:
    """The format of that name.

    Args:
        name: bgl, thunderbird, spirit, hdfs, columns, regex or plain.
        config: its arguments: `labels` of hdfs; `message`, `label`, `time`, `normal` of columns; `pattern`, `normal`
            of regex.

    Raises:
        UserError: there is no such format, or it does not take such an argument.
    """
    if name not in FORMATS:
        raise UserError(f"data.layout: no format is named {name!r}; allowed: {', '.join(FORMATS)}")
    try:
        return FORMATS[name](**config)
    except TypeError as error:
        raise UserError(f"data.layout: {name} does not take these arguments: {error}") from error
