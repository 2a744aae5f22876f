"""Any file or pipe is read to its end in constant memory, and what cannot be read is said in one line."""

import gzip
import lzma
import os
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from datamodules.logs.reading import MAX_BYTES, LogReader
from lit_unlearn.errors import UserError

LINES = [f"- {i} RAS KERNEL INFO generating core.{i * 37}" for i in range(20_000)]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def counts(reader: LogReader) -> tuple[int, int, int]:
    return reader.num_lines, reader.num_replaced, reader.num_cut


@pytest.mark.parametrize(("suffix", "pack"), [("log", bytes), ("gz", gzip.compress), ("xz", lzma.compress)])
def test_text_and_archives_give_the_same_lines(tmp_path: Path, suffix: str, pack):
    reader = LogReader(written(tmp_path / f"a.{suffix}", pack("\n".join(LINES).encode() + b"\n")))
    assert list(reader) == LINES
    assert counts(reader) == (20_000, 0, 0)
    assert list(reader) == LINES and reader.num_lines == 20_000, "a second time from the beginning"


def test_blank_lines_line_ends_and_a_last_line_without_one(tmp_path: Path):
    reader = LogReader(written(tmp_path / "a.log", b"\xef\xbb\xbfone\r\n\n  \ntwo\x85\xe2\x80\xa8 \rthree"))
    assert list(reader) == ["one", "", "  ", "two\ufffd\u2028 \rthree"]
    assert counts(reader) == (4, 1, 0)


def test_invalid_utf8_is_replaced_and_counted_by_line(tmp_path: Path):
    reader = LogReader(written(tmp_path / "a.log", b"caf\xe9 \xff\xfe\ncaf\xc3\xa9\n\xc3\n"))
    assert list(reader) == ["caf\ufffd \ufffd\ufffd", "caf\u00e9", "\ufffd"]
    assert counts(reader) == (3, 2, 0)


@pytest.mark.parametrize(("length", "num_cut"), [(MAX_BYTES, 0), (MAX_BYTES + 1, 1), (10_000_000, 1)])
def test_a_long_line_is_cut_and_the_next_one_is_whole(tmp_path: Path, length: int, num_cut: int):
    reader = LogReader(written(tmp_path / "a.log", b"before\n" + b"x" * length + b"\nafter\n" + b"y" * length))
    before, long, after, last = reader
    assert (before, after) == ("before", "after")
    assert long == "x" * MAX_BYTES and last == "y" * MAX_BYTES
    assert counts(reader) == (4, 0, 2 * num_cut)


def test_a_cut_through_a_character_leaves_it_out(tmp_path: Path):
    reader = LogReader(written(tmp_path / "a.log", b"x" + "\u00e9".encode() * MAX_BYTES))
    assert list(reader) == ["x" + "\u00e9" * (MAX_BYTES // 2 - 1)]
    assert counts(reader) == (1, 0, 1)


def test_a_long_line_is_never_held(tmp_path: Path):
    path = written(tmp_path / "a.gz", gzip.compress(b"x" * 50_000_000))
    tracemalloc.start()
    try:
        assert len(next(iter(LogReader(path)))) == MAX_BYTES
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_a_line_from_a_pipe_comes_at_once(monkeypatch: pytest.MonkeyPatch):
    out, into = os.pipe()
    with os.fdopen(out, "rb") as end, open(into, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": end}))
        lines = iter(LogReader("-"))
        got: list[str] = []
        for line in ("first", "second"):
            pipe.write(f"{line}\npart of the ne".encode())
            waiting = threading.Thread(target=lambda: got.append(next(lines)), daemon=True)
            waiting.start()
            waiting.join(10)
            assert got, "the reader waits for more than a line"
            assert got.pop().endswith(line)
        pipe.close()
        assert list(lines) == ["part of the ne"]


@pytest.mark.parametrize("suffix", ["log", "gz", "xz"])
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str):
    with pytest.raises(UserError, match=r"is empty"):
        list(LogReader(written(tmp_path / f"a.{suffix}", b"")))


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_archives_that_are_empty_cut_off_or_damaged(tmp_path: Path, suffix: str, pack):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(UserError, match=r"is empty"):
        list(LogReader(written(path, pack(b""))))
    whole = pack(os.urandom(300_000).hex().encode().replace(b"77", b"\n"))
    reader = LogReader(written(path, whole[: len(whole) // 2]))
    with pytest.raises(UserError, match=r"ends too early after \d{3,} lines") as error:
        list(reader)
    assert f" {reader.num_lines} lines" in str(error.value), "what could be read was handed on"
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 100] = bytes(100)
    with pytest.raises(UserError, match=r"is damaged after \d+ lines"):
        list(LogReader(written(path, bytes(broken))))
    with pytest.raises(UserError, match=r"is damaged after 0 lines"):
        list(LogReader(written(path, b"- 1 plain text under a wrong name\n")))


def test_what_is_no_log_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no such file"):
        list(LogReader(tmp_path / "absent.log"))
    with pytest.raises(UserError, match=r"is a folder"):
        list(LogReader(tmp_path))
    for binary in (b"\x7fELF\x01\0\0\0garbage", gzip.compress(os.urandom(2000), mtime=0), "utf 16\n".encode("utf-16")):
        with pytest.raises(UserError, match=r"is no text"):
            list(LogReader(written(tmp_path / "a.log", binary)))


@pytest.mark.parametrize(("suffix", "pack"), [("log", bytes), ("gz", gzip.compress)])
def test_zero_bytes_late_in_a_log_are_a_crash_not_a_binary_file(tmp_path: Path, suffix: str, pack):
    log = b"".join(b"line %d\n" % i for i in range(10_000)) + b"\0" * 100_000 + b"\nlast"
    reader = LogReader(written(tmp_path / f"a.{suffix}", pack(log)))
    assert list(reader)[-2:] == ["\0" * MAX_BYTES, "last"]


@pytest.mark.parametrize("most", [1, 100_000, 10**9])
def test_chunks_hold_the_same_lines(tmp_path: Path, most: int):
    path = written(tmp_path / "a.log", ("\n".join([*LINES, "x" * 500_000, *LINES[:3]])).encode())
    reader = LogReader(path)
    chunks = list(reader.chunks(most))
    lines = [line for chunk in chunks for line in chunk]
    assert lines == list(LogReader(path)) and counts(reader) == (20_004, 0, 1)
    assert all(chunks) and (len(chunks) == 1) == (most == 10**9)
    longest = max(sum(map(len, chunk)) for chunk in chunks)
    assert longest <= most + 3 * MAX_BYTES


@pytest.mark.timeout(30)
def test_a_chunk_of_a_pipe_is_what_is_ready(monkeypatch: pytest.MonkeyPatch):
    out, into = os.pipe()
    with os.fdopen(out, "rb") as end, open(into, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": end}))
        chunks = LogReader("-").chunks(10**9)
        pipe.write(b"one\ntwo\nthr")
        assert next(chunks) == ["one", "two"]  # the pipe is still open
        pipe.write(b"ee\n")
        assert next(chunks) == ["three"]
        pipe.write(b"four")
        pipe.close()
        assert list(chunks) == [["four"]]
