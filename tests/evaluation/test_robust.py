"""The suite of the robust domain: rows with their intervals, best and last, notes, figures, new pictures."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_unlearn.attacks.autoattack import Verdict
from lit_unlearn.attacks.ball import Ball
from lit_unlearn.attacks.gradient import Attacked
from lit_unlearn.config import compose
from lit_unlearn.errors import UserError
from lit_unlearn.evaluate import evaluate as evaluate_program
from lit_unlearn.evaluation import robust
from lit_unlearn.fit import fit
from lit_unlearn.report import Report
from tests.anomaly_data import trainer
from tests.robust_data import Patterns, build_method, classifier, short

SMALL = ["trainer.max_epochs=2", "trainer.limit_train_batches=2", *short(compose(["experiment=pgd_at/digits"]))]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of PGD adversarial training whose best epoch is the first: the second one breaks the network."""
    folder = tmp_path_factory.mktemp("run") / "run"
    fit(["experiment=pgd_at/digits", f"run_dir={folder}", *SMALL])
    return folder


def rows_of(found) -> dict[str, float]:
    return {row.name: row.value for row in found}


def test_rows_are_counts_with_wilson_intervals():
    """7 of 10: Wilson's interval is (0.3968, 0.8922) (Newcombe 1998)."""
    stands = torch.tensor([True] * 7 + [False] * 3)
    found = robust.Judged(stands, stands, Attacked(~stands, torch.zeros(10, 1, 2, 2)), Verdict(stands[:5], stands), [])
    rows = {row.metric: row for row in robust.rows(found, "best")}
    assert [row.name for row in rows.values()] == [
        f"accuracy/{m}/best" for m in ("clean", "fgsm", "pgd20", "autoattack")
    ]
    assert rows["clean"].value == 0.7 and rows["clean"].n == 10 and rows["clean"].better == "higher"
    assert rows["clean"].ci95 == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert rows["pgd20"].value == pytest.approx(0.3)
    assert rows["autoattack"].value == 1 and rows["autoattack"].n == 5


def test_stronger_attacks_leave_less(run_dir: Path):
    report = Report.from_json((run_dir / "report.json").read_text())
    values = rows_of(report.rows)
    for split in ("best", "last"):
        assert values[f"accuracy/clean/{split}"] >= values[f"accuracy/fgsm/{split}"] >= 0
        assert values[f"accuracy/clean/{split}"] >= values[f"accuracy/pgd20/{split}"]
    notes = " ".join(report.notes)
    assert "linf ball of eps 0.2" in notes and "Wilson" in notes and "on the first 2 test pictures" in notes
    assert (run_dir / "figures" / "curve.png").stat().st_size > 5000
    assert (run_dir / "figures" / "attacks.png").stat().st_size > 5000
    assert {path.name for path in (run_dir / "export").iterdir()} == {"model.safetensors", "config.json", "README.md"}


def test_the_run_is_judged_again_to_the_same_numbers(run_dir: Path):
    again = evaluate_program([f"checkpoint={run_dir}/last.ckpt"])
    assert again is not None
    report = Report.from_json((run_dir / "report.json").read_text())
    assert rows_of(again.rows) == rows_of(report.rows)


def test_a_network_that_knows_nothing_and_one_that_is_always_right(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(robust, "autoattack", partial(robust.autoattack, attacks=("apgd-ce",)))  # Square takes seconds

    class Knows(torch.nn.Module):
        """The picture's class from its mean grey level, whatever the attack within reach does."""

        def __init__(self, levels):
            super().__init__()
            self.levels = torch.nn.Parameter(levels)

        def forward(self, x):
            return -100 * (x.mean((1, 2, 3))[:, None] - self.levels).square()

    data = Patterns(num_autoattack=6)
    data.setup()
    x, y = data.test.all()
    x = (0.1 + 0.25 * y.float()).view(-1, 1, 1, 1).expand_as(x)
    data.test.pictures = (x * 255).round().to(torch.uint8)
    knows = Knows(torch.tensor([0.1, 0.35, 0.6, 0.85]))
    ball = Ball("linf", 0.05)
    found = robust.judge(knows, ball, data)
    assert {row.value for row in robust.rows(found, "best")} == {1.0}
    assert found.notes == []
    points = dict(robust.curve(knows, ball, data))
    assert points[0.0] == 1 and points[0.1] == 1
    assert dict(robust.curve(knows, Ball("linf", 0.1), data))[0.2] < 0.5  # beyond half the distance of two levels
    only_the_last = robust.judge(Knows(torch.tensor([9.0, 9.0, 9.0, 0.5])), ball, data)
    share = (y == 3).float().mean().item()
    assert [row.value for row in robust.rows(only_the_last, "last")][:3] == [pytest.approx(share)] * 3


def test_a_method_in_memory_is_judged_as_its_last():
    data = Patterns(num_autoattack=2)
    data.setup()
    found = robust.evaluate(build_method("pgd_at"), data, trainer())
    assert {row.split for row in found.rows} == {"last"}
    assert set(found.figures) == {"attacks", "curve"}


def test_a_reconstruction_says_so():
    data = Patterns(num_autoattack=1, num_test=10)
    data.setup()
    notes = robust.evaluate(build_method("ardir"), data, trainer()).notes
    assert notes[0].startswith("the method is a reconstruction: only the abstract was available")


def test_new_pictures(run_dir: Path, tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "new.npz", X=x)
    evaluate_program([f"checkpoint={run_dir}/best.ckpt", f"input={tmp_path}/new.npz", f"output={tmp_path}/c.csv"])
    with open(tmp_path / "c.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["item"] for line in lines] == list("01234")
    for line in lines:
        assert line["class"] in "0123456789" and 0.1 <= float(line["probability"]) <= 1 and line["stands"] in "01"


@pytest.mark.parametrize("values", [np.full((1, 8, 8), 2.0), np.full((1, 8, 8), -0.5)])
def test_new_pictures_outside_the_unit_range(values, run_dir: Path, tmp_path: Path):
    np.savez(tmp_path / "new.npz", X=values)
    with pytest.raises(UserError, match=r"pictures must lie in \[0, 1\] or be uint8"):
        evaluate_program([f"checkpoint={run_dir}/best.ckpt", f"input={tmp_path}/new.npz", f"output={tmp_path}/c.csv"])
    assert not (tmp_path / "c.csv").exists()


def test_equal_weights_are_judged_once(monkeypatch: pytest.MonkeyPatch):
    assert robust._same(classifier(), classifier()) and not robust._same(classifier(), classifier(seed=1))
