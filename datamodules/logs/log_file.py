"""A log of the user's own: any file, described by a regular expression or column numbers, or taken as plain text."""

from collections.abc import Iterable
from typing import Any, Literal

from datamodules.logs.base import LogDataModule
from datamodules.logs.formats import NORMAL, named
from datamodules.logs.reading import LogReader
from lit_unlearn.errors import UserError


class LogFile(LogDataModule):
    """The lines of a file, plain, .gz or .xz.

    Args:
        path: of the log.
        layout: `plain`: a line is the message; `columns`: the columns below, separated by white space; `regex`:
            `pattern`; or the name of a known format.
        message_column, label_column, time_column: numbers of columns, counted from 0; the message goes on to the end of
            the line. None: the log has no such column.
        pattern: regular expression with the groups `message` and, where there are such, `label` and `time`.
        normal: what the label of a normal line reads.
        labels: HDFS's table of anomalous blocks.
        lines: see `LogDataModule`.
    """

    def __init__(
        self,
        path: str,
        layout: Literal["plain", "columns", "regex", "bgl", "thunderbird", "spirit", "hdfs"] = "plain",
        message_column: int = 0,
        label_column: int | None = None,
        time_column: int | None = None,
        pattern: str | None = None,
        normal: str = NORMAL,
        labels: str | None = None,
        **lines,
    ):
        super().__init__(**lines)
        self.path, self.layout = path, layout
        if layout == "regex" and pattern is None:
            raise UserError("data.pattern: missing; data.layout=regex needs one with a group (?P<message>...)")
        given: dict[str, dict[str, Any]] = {
            "columns": {"message": message_column, "label": label_column, "time": time_column, "normal": normal},
            "regex": {"pattern": pattern, "normal": normal},
            "hdfs": {"labels": labels},
        }
        self.format = named(layout, **given.get(layout, {}))

    def read(self) -> Iterable[str]:
        self.reader = LogReader(self.path)
        return iter(self.reader)
