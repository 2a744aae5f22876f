"""Logs that researchers published as one file: where it lies, and how much of it is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from datamodules.data_root import Source, locate
from datamodules.logs.base import LogDataModule
from datamodules.logs.formats import named
from datamodules.logs.reading import LogReader

SUFFIXES = ("", ".gz", ".xz")


class ClusterLog(LogDataModule):
    """A log in `<data_root>/<folder>/<file>`, plain, .gz or .xz.

    A subclass sets `folder`, `file`, `layout` (its name in `datamodules.logs.formats`), `page` (where a person gets the
    log) and `tables` (files that must lie beside it).

    Args:
        data_root: folder of all data sets.
        max_lines: lines to read from the beginning; None reads all.
        lines: see `LogDataModule`.
    """

    folder: str
    file: str
    layout: str
    page: str
    tables: tuple[str, ...] = ()

    def __init__(self, *, data_root: str, max_lines: Annotated[int, Field(ge=1)] | None = None, **lines):
        super().__init__(**lines)
        self.data_root, self.max_lines = data_root, max_lines
        self.format = named(self.layout)

    def read(self) -> Iterable[str]:
        folder = locate(self.data_root, Source(self.folder, self._missing, self.page))
        self.open_format(str(folder))
        self.reader = LogReader(next(path for path in self._paths(folder) if path.is_file()))
        for number, line in enumerate(self.reader):
            if number == self.max_lines:
                return
            yield line

    def open_format(self, folder: str) -> None:
        """Makes the format anew where it takes labels from files of the data set."""

    def _paths(self, folder: Path) -> list[Path]:
        return [folder / f"{self.file}{suffix}" for suffix in SUFFIXES]

    def _missing(self, folder: Path) -> list[str]:
        log = [] if any(path.is_file() for path in self._paths(folder)) else [f"{self.file} (or .gz, .xz)"]
        return log + [name for name in self.tables if not (folder / name).is_file()]
