"""Lines of a log file, an archive or a pipe as a stream, whatever bytes are in it."""

import codecs
import gzip
import lzma
import select
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lit_unlearn.errors import UserError

MAX_BYTES = 65536
"""A longer line is cut to this length, and a log is taken for text by as many bytes from its beginning."""

_BLOCK = 65536


class LogReader:
    """Reads lines one after another in constant memory, and counts what was wrong with them.

    Iterating yields each line without its line end, blank ones too; what a stream ends with is a line even without a
    line end. A line is yielded as soon as it is complete, so that a pipe that stays open can be followed. Iterating
    again reads a file again from its beginning.

    Args:
        path: a file, a `.gz` or `.xz` archive of one, or `-` for standard input.

    After or while reading:
        num_lines: lines yielded.
        num_replaced: lines in which bytes that are no UTF-8 were replaced by U+FFFD.
        num_cut: lines longer than `MAX_BYTES`, cut to these.

    Raises:
        UserError: while iterating, if there is no such file, it is empty or no text, or an archive is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = "standard input" if str(path) == "-" else str(path)
        self.num_lines = self.num_replaced = self.num_cut = 0

    def __iter__(self) -> Iterator[str]:
        for lines in self._line_lists():
            yield from map(self._text, lines)

    def chunks(self, most: int) -> Iterator[list[str]]:
        """The lines in lists of about `most` bytes; shorter ones from standard input, whenever no more is ready."""
        chunk: list[str] = []
        size = 0
        for lines in self._line_lists():
            chunk += map(self._text, lines)
            size += sum(map(len, lines))
            if chunk and (size >= most or self._would_wait()):
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _line_lists(self) -> Iterator[list[bytes]]:
        """The lines that each block completes, none or many; the last may be longer than `MAX_BYTES`."""
        self.num_lines = self.num_replaced = self.num_cut = 0
        pending = b""
        for block in self._blocks():
            if b"\n" not in block:
                if len(pending) <= MAX_BYTES:  # more is not needed to tell that the line is too long
                    pending += block
                yield []
                continue
            lines = block.split(b"\n")
            lines[0] = pending + lines[0]
            pending = lines.pop()
            yield lines
        if pending:
            yield [pending]

    def _would_wait(self) -> bool:
        return self.name == "standard input" and not select.select([sys.stdin.buffer], [], [], 0)[0]

    def _text(self, line: bytes) -> str:
        self.num_lines += 1
        cut = len(line) > MAX_BYTES
        if cut:
            self.num_cut += 1
            line = line[:MAX_BYTES]
        else:
            line = line.removesuffix(b"\r")
        try:
            return codecs.utf_8_decode(line, "strict", not cut)[0]  # a character the cut went through is left out
        except UnicodeDecodeError:
            self.num_replaced += 1
            return codecs.utf_8_decode(line, "replace", not cut)[0]

    def _blocks(self) -> Iterator[bytes]:
        """What the stream has ready, up to a block at a time, until it ends; without a byte order mark."""
        num_bytes = 0
        with self._opened() as stream:
            while block := self._read(stream):
                if num_bytes < MAX_BYTES and b"\0" in block[: MAX_BYTES - num_bytes]:
                    raise UserError(
                        f"{self.name}: is no text, for it holds zero bytes; give a log in UTF-8, or one compressed as "
                        ".gz or .xz with its name ending so"
                    )
                yield block if num_bytes else block.removeprefix(codecs.BOM_UTF8)
                num_bytes += len(block)
        if not num_bytes:
            raise self._empty()

    def _read(self, stream: BinaryIO) -> bytes:
        try:
            return stream.read1(_BLOCK)  # type: ignore[attr-defined]  # all four kinds of stream have it
        except EOFError as error:
            raise self._damaged("ends too early", error) from error
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise self._damaged("is damaged", error) from error
        except OSError as error:
            raise self._damaged("cannot be read", error) from error

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self.name == "standard input":
            yield sys.stdin.buffer
            return
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            raise UserError(f"{self.name}: there is no such file; give a log file, or - for standard input") from None
        except IsADirectoryError:
            raise UserError(f"{self.name}: is a folder; give a log file, or - for standard input") from None
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened: {error.strerror}") from error
        with file:
            if not file.peek(1):  # lzma would call it damaged
                raise self._empty()
            match self.path.suffix.lower():
                case ".gz":
                    yield cast(BinaryIO, gzip.GzipFile(fileobj=file))
                case ".xz":
                    yield cast(BinaryIO, lzma.LZMAFile(file))  # noqa: SIM115  (`file` is what is closed)
                case _:
                    yield file

    def _empty(self) -> UserError:
        return UserError(f"{self.name}: is empty; give a log with at least one line")

    def _damaged(self, what: str, error: Exception) -> UserError:
        return UserError(f"{self.name}: {what} after {self.num_lines} lines ({error}); copy or compress the log again")
