"""A log of the user's own, in each layout."""

import gzip
import lzma
from pathlib import Path

import pytest

from datamodules.logs.log_file import LogFile
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation.logs import data_notes

NUMBER = 60


def log_file(path: Path, **arguments) -> LogFile:
    data = LogFile(str(path), **arguments)
    data.setup()
    return data


def written(path: Path, line: str) -> Path:
    """Sixty lines, every tenth of them an alert; `{tag}` and `{i}` are filled in."""
    path.write_text("".join(line.format(tag="BAD" if i % 10 == 3 else "ok", i=i) + "\n" for i in range(NUMBER)))
    return path


def test_plain_text_needs_no_labels_if_told_so(tmp_path: Path):
    path = written(tmp_path / "a.log", "{tag} job {i}")
    data = log_file(path, unlabeled=True)
    assert sorted(data.texts) == ["bad job [NUM]", "ok job [NUM]"]
    assert not data.tag.any() and data.reader.num_lines == NUMBER
    with pytest.raises(UserError, match="data.unlabeled=true"):
        log_file(path)


def test_columns(tmp_path: Path):
    path = written(tmp_path / "a.log", "{i} {tag} host job ended")
    data = log_file(path, layout="columns", message_column=3, label_column=1, time_column=0, normal="ok")
    assert data.texts == ["job ended"] and data.tags == ["-", "BAD"]
    assert data.tag.sum() == 6 and data.tag[3] == 1
    assert data.time.tolist() == list(range(NUMBER))


def test_a_regular_expression(tmp_path: Path):
    path = written(tmp_path / "a.log", "<{tag}> job {i} ended")
    data = log_file(path, layout="regex", pattern=r"<(?P<label>\w+)> (?P<message>.*)", normal="ok")
    assert data.texts == ["job [NUM] ended"] and data.tags == ["-", "BAD"] and data.tag.sum() == 6


def test_a_known_format(tmp_path: Path):
    node = "1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO"
    path = tmp_path / "a.log"
    path.write_text("".join(f"{'FATAL' if i % 10 == 3 else '-'} {node} cache error {i}\n" for i in range(NUMBER)))
    data = log_file(path, layout="bgl")
    assert data.tags == ["-", "FATAL"] and data.texts == ["ras kernel info cache error [NUM]"]


@pytest.mark.parametrize(("suffix", "opened"), [(".gz", gzip.open), (".xz", lzma.open)])
def test_archives(suffix: str, opened, tmp_path: Path):
    plain = written(tmp_path / "a.log", "{tag} job {i}")
    with opened(tmp_path / f"a.log{suffix}", "wb") as packed:
        packed.write(plain.read_bytes())
    given = {"layout": "columns", "message_column": 1, "label_column": 0, "normal": "ok"}
    one, two = log_file(plain, **given), log_file(tmp_path / f"a.log{suffix}", **given)
    assert one.texts == two.texts and one.hashes() == two.hashes()


def test_errors(tmp_path: Path):
    with pytest.raises(UserError, match="absent.log"):
        log_file(tmp_path / "absent.log", unlabeled=True)
    with pytest.raises(UserError, match=r"^data.pattern: missing; data.layout=regex needs one"):
        LogFile("a.log", layout="regex")
    with pytest.raises(UserError, match="0 of 60 lines fit the format"):
        log_file(written(tmp_path / "a.log", "job"), layout="columns", message_column=2, label_column=0, normal="ok")


def test_what_was_wrong_with_the_bytes_is_in_the_notes(tmp_path: Path):
    path = tmp_path / "app.log"
    path.write_bytes(b"session opened\n" * 40 + b"caf\xe9 closed\n" + b"x" * 70_000 + b"\n")
    data = LogFile(path=str(path), unlabeled=True)
    data.setup()
    notes = data_notes(data)
    assert "1 of 42 lines had invalid UTF-8, replaced" in notes and "1 of 42 lines were cut" in notes
