"""A log that cannot be scored, or in part only, through the command: a line says so, and nothing is written by half."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.logs.generator import generate
from datamodules.logs.tokenizer import train_wordpiece
from lit_unlearn.evaluate import evaluate
from lit_unlearn.fit import fit
from tests.logs_data import MODEL
from tests.program import DIGITS, Process, environment
from tests.refusals import assert_lines, folder as folder, refused

LINES = list(generate(300, seed=3))
SMALL = ["data.num_lines=600", "data.lines_per_epoch=64", "trainer.max_epochs=1", "evaluate=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """last.ckpt of a small run on the generated log."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    sizes = [f"model.{key}={value}" for key, value in MODEL.items()]
    fit(["experiment=log_electra/generated", f"run_dir={run_dir}", *SMALL, *sizes])
    return run_dir / "last.ckpt"


def rows(path: str = "s.csv") -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return f"input={name}"


def test_scores_of_a_log(trained: Path, capsys: pytest.CaptureFixture[str]):
    text = "\n".join(LINES).encode()
    evaluate([f"checkpoint={trained}", written("a.log", text), "output=s.csv"])
    assert capsys.readouterr().out.splitlines()[-1].endswith("anomalous: s.csv")
    plain = rows()
    assert [row["message"] for row in plain] == [line.split(None, 2)[2] for line in LINES]
    assert {row["verdict"] for row in plain} <= {"normal", "anomalous"}
    evaluate([f"checkpoint={trained}", written("a.log.gz", gzip.compress(text)), "output=t.csv"])
    assert rows("t.csv") == plain
    evaluate([f"checkpoint={trained}", "input=a.log", "output=s.jsonl"])
    objects = [json.loads(line) for line in Path("s.jsonl").read_text().splitlines()]
    assert [(one["line"], f"{one['score']:.6g}") for one in objects] == [
        (int(row["line"]), row["score"]) for row in plain
    ]
    evaluate([f"checkpoint={trained}", "input=a.log"])
    assert len(capsys.readouterr().out.splitlines()[-22:]) == 22


CUT_OFF = gzip.compress(np.random.default_rng(0).bytes(50_000).hex().encode() + b"\n" + b"\n".join([b"x"] * 9))[:-40]


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (("a.log", b""), r"a\.log: is empty; give a log with at least one line"),
        (("a.gz", gzip.compress(b"")), r"a\.gz: is empty; give a log"),
        (("a.log", bytes(range(256)) * 50), r"a\.log: is no text, for it holds zero bytes; give a log in UTF-8"),
        (("a.gz", CUT_OFF), r"a\.gz: ends too early after \d+ lines \(.*\); copy or compress the log again"),
        (("a.gz", b"text"), r"a\.gz: is damaged after 0 lines"),
        (
            ("a.log", b"this is\na log of\nanother kind\n"),
            r"input=a\.log: none of the first 3 lines fits the format .*\(columns\); .* layout=plain",
        ),
    ],
)
@pytest.mark.parametrize("output", ["output=s.csv", "output=s.html", "layout=null"])
def test_logs_that_cannot_be_scored(content: tuple[str, bytes], pattern: str, output: str, trained: Path):
    source = written(*content)
    assert_lines(refused(f"checkpoint={trained}", source, output, program=evaluate), [pattern])


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        (["input=absent.log", "output=s.csv"], r"absent\.log: there is no such file; give a log file, or - for"),
        (["input=.", "output=s.csv"], r"\.: is a folder; give a log file"),
        (["input=a.log", "output=s.txt"], r"output=s\.txt: must end in \.csv, \.jsonl or \.html, or be -"),
        (["input=old.csv", "output=./old.csv"], r"output=\./old\.csv: is the log itself; give another name"),
        (["input=a.log", "output=no/s.csv"], r"output=no/s\.csv: no folder no; make it first"),
        (["input=a.log", "layout=colums"], r"layout='colums': should be 'plain'"),
        (["export=a.bin"], r"export=a\.bin: must end in \.onnx"),
        (["export=no/a.onnx"], r"export=no/a\.onnx: no folder no; make it first"),
        (["export=a.onnx", "input=a.log"], r"export=a\.onnx: not together with input; give one of them"),
    ],
)
def test_commands_that_cannot_be_followed(overrides: list[str], pattern: str, trained: Path):
    for name in ("a.log", "old.csv"):
        written(name, LINES[0].encode())
    assert_lines(refused(f"checkpoint={trained}", *overrides, program=evaluate), [pattern])


def test_lines_that_are_not_as_they_should_be(trained: Path, capsys: pytest.CaptureFixture[str]):
    long = b"- 1700000000 " + b"word " * 2_000_000
    parts = [LINES[0].encode(), long, b"not in the format", b"", b"- 1700000001 caf\xe9 closed", b"- 1700000002 the e"]
    evaluate([f"checkpoint={trained}", written("a.log", b"\n".join(parts)), "output=s.csv"])
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("4 lines scored, ")
    assert said.endswith(" anomalous, 2 not in the format, 1 with invalid UTF-8 replaced, 1 cut: s.csv")
    scored = rows()
    assert [row["line"] for row in scored] == ["1", "2", "3", "4", "5", "6"]
    assert [row["verdict"] == "unread" for row in scored] == [False, False, True, True, False, False]
    assert [bool(row["score"]) for row in scored] == [True, True, False, False, True, True]
    assert (scored[2]["message"], scored[4]["message"]) == ("not in the format", "caf\ufffd closed")
    assert scored[5]["message"] == "the e" and len(scored[1]["message"]) < 65536


def test_whole_lines_as_messages(trained: Path):
    evaluate([f"checkpoint={trained}", written("a.log", b"a log of\nanother kind"), "output=s.csv", "layout=plain"])
    assert [row["message"] for row in rows()] == ["a log of", "another kind"]


def test_a_tokenizer_that_does_not_belong_to_the_checkpoint(trained: Path):
    checkpoint = torch.load(trained, weights_only=True)
    other = train_wordpiece(["a few words"], 60, [], 32)
    checkpoint["GeneratedLog"]["tokenizer"] = other.to_str()
    torch.save(checkpoint, "changed.ckpt")
    source = written("a.log", LINES[0].encode())
    pattern = rf"checkpoint: its tokenizer, of {other.get_vocab_size()} tokens, does not belong to its network, of \d+ "
    assert_lines(refused("checkpoint=changed.ckpt", source, "output=s.csv", program=evaluate), [pattern])
    del checkpoint["GeneratedLog"]
    torch.save(checkpoint, "changed.ckpt")
    pattern = r"checkpoint: holds no tokenizer; use a checkpoint of "
    assert_lines(refused("checkpoint=changed.ckpt", source, "output=s.csv", program=evaluate), [pattern])


def test_a_checkpoint_of_another_domain(trained: Path):
    fit([DIGITS, "trainer.max_epochs=1", "evaluate=false", "run_dir=digits"])
    source = written("a.log", LINES[0].encode())
    digits = "checkpoint=digits/last.ckpt"
    pattern = r"layout=plain: says how the lines of a log are cut, this detector is not for logs; leave it out"
    assert_lines(refused(digits, source, "output=s.csv", "layout=plain", program=evaluate), [pattern])
    assert_lines(refused(digits, source, "output=s.csv", program=evaluate), [r"input=a\.log: "])
    pattern = r"export=a\.onnx: the methods of this domain cannot be exported; leave export out"
    assert_lines(refused(digits, "export=a.onnx", program=evaluate), [pattern])
    np.savez("a.npz", X=np.zeros((3, 8, 8)))
    pattern = r"a\.npz: is no text, for it holds zero bytes"
    assert_lines(refused(f"checkpoint={trained}", "input=a.npz", "output=s.csv", program=evaluate), [pattern])


def test_training_on_normal_lines_of_a_log_without_labels():
    written("a.log", "\n".join(line.split(None, 2)[2] for line in LINES).encode())
    asked = ["experiment=log_electra/generated", "data=log_file", "data.path=a.log", *SMALL[1:]]
    pattern = r"data: line 1 of the log has no label, .*name the column or group of the label, or give data\.unlabeled"
    assert_lines(refused(*asked), [pattern])


@pytest.mark.slow
def test_standard_input_and_output(trained: Path, tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    written("a.log", "\n".join(LINES).encode())
    evaluate([f"checkpoint={trained}", "input=a.log", "output=s.csv"])
    process = Process(whole, f"checkpoint={trained}", "input=-", "output=-", program="evaluate", stdin=Path("a.log"))
    assert process.wait() == 0, process.output()
    assert (whole / "stdout").read_bytes() == Path("s.csv").read_bytes()
    assert (whole / "stderr").read_text().startswith("300 lines scored, ")
    Path("empty.log").touch()
    process = Process(
        cut, f"checkpoint={trained}", "input=-", "output=s.csv", program="evaluate", stdin=Path("empty.log")
    )
    assert process.wait() == 2
    assert_lines((cut / "stderr").read_text().splitlines(), [r"error: standard input: is empty; give a log"])
    assert not (cut / "s.csv").exists()


def test_a_reader_that_has_seen_enough_ends_the_program_quietly(tmp_path: Path):
    endless = "[print('x' * 99) for _ in range(9999)]"
    program = f"import sys; from lit_unlearn import command_line; sys.exit(command_line.run(lambda _: {endless}))"
    script = f'{sys.executable} -c "{program}" | head -n 1 > /dev/null; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("141\n", "")
