"""Measuring a checkpoint again gives the numbers of its report; new data are scored, or refused with a line."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lit_unlearn import checkpoint
from lit_unlearn.errors import UserError
from lit_unlearn.evaluate import evaluate
from lit_unlearn.fit import fit
from lit_unlearn.report import Report
from tests.program import DIGITS, Process


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    report = fit([DIGITS, f"run_dir={run_dir}", "trainer.max_epochs=3"])
    assert report is not None
    return run_dir, report


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A run on a generated table, columns of very different scales; its last.ckpt and the rows."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "data" / "adbench").mkdir(parents=True)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (400, 3)), rng.normal(3, 1, (150, 3))]) * [1, 1000, 0.001] + [0, 5000, 7]
    np.savez(folder / "data" / "adbench" / "6_cardio.npz", X=x, y=np.repeat([0, 1], [400, 150]))
    overrides = ["experiment=pu_svdd/adbench", f"data_root={folder}/data", f"run_dir={folder}/run"]
    fit([*overrides, "trainer.max_epochs=2", "evaluate=false"])
    return folder / "run" / "last.ckpt", x


def scores_by_hand(path: Path, x: np.ndarray) -> torch.Tensor:
    method, _ = checkpoint.load_method(path)
    with torch.no_grad():
        return method(torch.from_numpy(checkpoint.load_data(path).preprocess(x)))  # type: ignore[operator]


def read_csv(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_numbers_are_those_of_the_report(trained: tuple[Path, Report], capsys: pytest.CaptureFixture[str]):
    run_dir, report = trained
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    result = evaluate([f"checkpoint={run_dir}/last.ckpt"])
    assert result is not None and result.rows == report.rows
    assert Report.from_json((run_dir / "report.json").read_text()).rows == report.rows
    output = capsys.readouterr().out
    auroc = next(row for row in report.rows if (row.metric, row.split) == ("auroc", "all"))
    assert f"{auroc.value:.4f}" in output
    assert f"{run_dir}/evaluation-last/figures" in output
    assert (run_dir / "evaluation-last" / "figures" / "scores.png").stat().st_size > 1000
    assert {path: path.read_bytes() for path in before} == before


def test_the_best_checkpoint_is_what_is_reported():
    overrides = ["experiment=pu_svdd/fashion_mnist", "data=digits", "run_dir=run", "trainer.max_epochs=12"]
    report = fit([*overrides, "callbacks.early_stopping.patience=3", "method.learning_rate=0.003"])
    best, last = (checkpoint.read(f"run/{name}.ckpt") for name in ("best", "last"))
    assert best["global_step"] < last["global_step"]
    result = evaluate(["checkpoint=run/best.ckpt", "output=again"])
    assert report is not None and result is not None and result.rows == report.rows
    assert Path("again/figures").is_dir() and not Path("run/evaluation-best").exists()
    other = evaluate(["checkpoint=run/last.ckpt"])
    assert other is not None and other.rows != report.rows


def test_data_that_have_moved(table: tuple[Path, np.ndarray]):
    path, _ = table
    data = path.parent.parent / "data"
    here = evaluate([f"checkpoint={path}"])
    data.rename("moved")
    with pytest.raises(UserError, match="no folder .*adbench with files such as"):
        evaluate([f"checkpoint={path}"])
    moved = evaluate([f"checkpoint={path}", "data_root=moved"])
    Path("moved").rename(data)
    assert here is not None and moved is not None and moved.rows == here.rows


def test_scores_of_pictures(trained: tuple[Path, Report], capsys: pytest.CaptureFixture[str]):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)
    expected = scores_by_hand(trained[0] / "last.ckpt", (pixels[:, None] / 255).astype(np.float32))
    np.savez("new.npz", X=pixels)
    Path("pictures").mkdir()
    for name, picture in zip("edcba", pixels[::-1], strict=True):  # read in the order of their names
        Image.fromarray(picture).save(f"pictures/{name}.png")
    names = {"new.npz": ["0", "1", "2", "3", "4"], "pictures": ["a.png", "b.png", "c.png", "d.png", "e.png"]}
    for source, items in names.items():
        evaluate([f"checkpoint={trained[0]}/last.ckpt", f"input={source}", "output=scores.csv"])
        rows = read_csv("scores.csv")
        assert [row["item"] for row in rows] == items
        assert [float(row["score"]) for row in rows] == pytest.approx(expected.tolist(), rel=1e-4)
        assert all(0 <= float(row["percentile"]) <= 100 for row in rows)
        assert "5 items scored: scores.csv" in capsys.readouterr().out


def test_scores_of_a_table_are_on_the_scale_of_the_training_rows(table: tuple[Path, np.ndarray]):
    path, x = table
    rows = x[[0, 1, 500]].astype(np.float32)
    expected = scores_by_hand(path, rows)
    np.savez("new.npz", X=rows)
    np.savetxt("new.csv", rows, delimiter=",", header="a,b,c", comments="", fmt="%.9g")
    for source in ("new.npz", "new.csv"):
        evaluate([f"checkpoint={path}", f"input={source}", "output=scores.csv"])
        scores = [float(row["score"]) for row in read_csv("scores.csv")]
        assert scores == pytest.approx(expected.tolist(), rel=1e-4)


def save(name: str, x: Any) -> str:
    np.savez(name, X=x)
    return f"input={name}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (lambda: ["input=new.npz"], "output: missing; give output=scores.csv, where the scores of input are to be"),
        (lambda: ["input=absent.npz", "output=scores.csv"], "input=absent.npz: no such file or folder"),
        (
            lambda: [save("a.npz", np.zeros((2, 9, 9))), "output=scores.csv"],
            "shape (2, 9, 9), the detector takes (N, 1, 8, 8)",
        ),
        (lambda: [save("a.npz", np.full((2, 8, 8), np.nan)), "output=scores.csv"], "row 0 (the first is 0) holds NaN"),
        (
            lambda: [save("a.npz", np.full((2, 8, 8), 16.0)), "output=scores.csv"],
            "values from 16 to 16, pictures must lie",
        ),
        (
            lambda: [save("a.npz", np.zeros((2, 8, 8))), "output=no/scores.csv"],
            "output=no/scores.csv: no folder no; make it",
        ),
        (
            lambda: ["outptu=scores.csv"],
            "outptu='scores.csv': no such key; did you mean output?; allowed: checkpoint, ",
        ),
    ],
)
def test_what_cannot_be_scored(overrides: Callable[[], list[str]], message: str, trained: tuple[Path, Report]):
    given = overrides()
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as error:
        evaluate([f"checkpoint={trained[0]}/last.ckpt", *given])
    (line,) = error.value.lines
    assert message in line
    assert sorted(Path().rglob("*")) == before


def test_a_file_of_another_program():
    torch.save({"state_dict": {}}, "other.ckpt")
    with pytest.raises(UserError, match=r"other.ckpt: made by another program; use a checkpoint of this one"):
        evaluate(["checkpoint=other.ckpt"])


@pytest.mark.slow
def test_the_command_line(trained: tuple[Path, Report], folder: Path):
    np.savez("new.npz", X=np.zeros((3, 8, 8), np.float32))
    new = folder / "new.npz"
    arguments = [f"checkpoint={trained[0]}/last.ckpt", f"input={new}", "output=scores.csv"]
    process = Process(folder / "process", *arguments, program="evaluate")
    assert process.wait() == 0, process.output()
    assert process.output() == "3 items scored: scores.csv\n"
    assert len(read_csv(str(folder / "process" / "scores.csv"))) == 3
