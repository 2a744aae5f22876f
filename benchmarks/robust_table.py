"""The table of docs/robust.md: adversarial training and distillation on 8x8 digits, at equal total gradient steps.

    python benchmarks/robust_table.py tune      3 settings of each method, seed 100, judged on held-out pictures
    python benchmarks/robust_table.py run       5 seeds x every method, with the settings chosen
    python benchmarks/robust_table.py twice     the methods with twice the steps, 3 seeds: whether they had converged
    python benchmarks/robust_table.py show      the tables, from what there is

Every method takes 800 optimiser steps in all: a student's teacher has half of them (akd: 400 for the robust teacher, 80
for the standard one, 320 for the student). A seed draws the split as well as the weights, and teachers are trained on
their student's split. Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/robust; a line a run is added to
benchmarks/results/robust_digits.csv, and what is there is not run again. AutoAttack is run on the first 100 test
pictures of each seed, for the best checkpoint.
"""

import contextlib
import csv
import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).parent
RUNS = HERE / "runs" / "robust"
RESULTS = HERE / "results" / "robust_digits.csv"
FIELDS = ["stage", "method", "settings", "seed", "epochs", "teacher_steps", "steps", "seconds", "validation"]
FIELDS += [f"{metric}_{split}" for split in ("best", "last") for metric in ("clean", "pgd20")] + ["autoattack_best"]
STEPS_AN_EPOCH, TOTAL = 8, 800
TUNING_SEED, SEEDS = 100, range(5)
TWICE, TWICE_SEEDS = ("pgd_at", "trades", "ard", "akd", "iad_1", "rslad", "ardir"), range(3)
POINTS = 100
"""Test pictures of each seed that AutoAttack is run on."""
SETTINGS: dict[str, list[list[str]]] = {
    "natural": [[f"learning_rate={rate}"] for rate in (0.05, 0.1, 0.2)],
    "pgd_at": [[f"learning_rate={rate}"] for rate in (0.05, 0.1, 0.2)],
    "trades": [["learning_rate=0.1"], ["learning_rate=0.2"], ["learning_rate=0.2", "beta=3.0"]],
    "ard": [["learning_rate=0.1"], ["learning_rate=0.2"], ["learning_rate=0.2", "alpha=0.9"]],
    "akd": [
        ["learning_rate=0.1"],
        ["learning_rate=0.2"],
        ["learning_rate=0.2", "robust_weight=0.7", "standard_weight=0.1"],
    ],
    "iad_1": [["learning_rate=0.1"], ["learning_rate=0.2"], ["learning_rate=0.2", "trust_power=0.5"]],
    "rslad": [["learning_rate=0.1"], ["learning_rate=0.2"], ["learning_rate=0.2", "adversarial_weight=1.0"]],
    "ardir": [["learning_rate=0.1"], ["learning_rate=0.2"], ["learning_rate=0.2", "alpha=0.9", "beta=5.0"]],
}
"""Three for each method, so that the budget of tuning is the same: two rates at its own values, and one other value."""
TEACHER = ("learning_rate=0.2",)
"""Of both teachers: what was chosen for pgd_at and natural."""


@dataclass(frozen=True)
class Run:
    """One training: a method, its settings and its share of the steps."""

    stage: str
    method: str
    settings: tuple[str, ...]
    seed: int
    epochs: int
    teachers: tuple["Run", ...] = ()

    @property
    def run_dir(self) -> Path:
        named = "_".join([self.method, *self.settings, f"{self.epochs}epochs"]).replace("=", "-")
        return RUNS / f"seed{self.seed}" / named

    @property
    def overrides(self) -> list[str]:
        lines = ["experiment=ardir/digits", f"method={self.method}", f"run_dir={self.run_dir}", f"seed={self.seed}"]
        lines += ["requires=[]", "evaluate=false", f"trainer.max_epochs={self.epochs}"]
        lines += [f"method.{setting}" for setting in self.settings]
        for key, teacher in zip(("teacher", "standard_teacher"), self.teachers, strict=False):
            lines.append(f"model.{key}={teacher.run_dir}/best.ckpt")
        return lines

    @property
    def key(self) -> tuple[str, ...]:
        return self.stage, self.method, " ".join(self.settings), str(self.seed), str(self.epochs)


def run_of(stage: str, method: str, settings: list[str], seed: int, total: int = TOTAL) -> Run:
    """A run whose steps and its teachers' are `total` together."""
    epochs = total // STEPS_AN_EPOCH
    if method in ("natural", "pgd_at", "trades"):
        return Run(stage, method, tuple(settings), seed, epochs)
    robust = Run("teacher", "pgd_at", TEACHER, seed, epochs // 2)
    if method != "akd":
        return Run(stage, method, tuple(settings), seed, epochs // 2, (robust,))
    standard = Run("teacher", "natural", TEACHER, seed, epochs // 10)
    return Run(stage, method, tuple(settings), seed, epochs // 2 - epochs // 10, (robust, standard))


def lines() -> list[dict[str, str]]:
    """What has been measured."""
    return list(csv.DictReader(RESULTS.open())) if RESULTS.is_file() else []


def done() -> set[tuple[str, ...]]:
    return {(line["stage"], line["method"], line["settings"], line["seed"], line["epochs"]) for line in lines()}


def execute(run: Run) -> None:
    """Trains, judges and writes a line, unless that was done; the teachers first."""
    if run.key in done():
        return
    for teacher in run.teachers:
        execute(teacher)
    from lit_unlearn.fit import fit

    started = time.monotonic()
    if not (run.run_dir / "finished").is_file():
        with contextlib.redirect_stdout(io.StringIO()):
            fit(run.overrides)
        (run.run_dir / "finished").touch()
    line = dict(zip(FIELDS, [*run.key, sum(t.epochs for t in run.teachers) * STEPS_AN_EPOCH], strict=False))
    line |= judged(run) | {"seconds": f"{time.monotonic() - started:.1f}"}
    new = not RESULTS.is_file()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(line)
    print(" ".join(f"{key}={value}" for key, value in line.items()), flush=True)


def judged(run: Run) -> dict[str, Any]:
    """Validation and test accuracies of a run; a tuning run is judged on held-out training pictures alone."""
    import torch

    from lit_unlearn import checkpoint
    from lit_unlearn.attacks.autoattack import autoattack
    from lit_unlearn.evaluation.robust import pgd20

    best = checkpoint.read(run.run_dir / "best.ckpt")
    score = next(state["best_model_score"] for name, state in best["callbacks"].items() if "ModelCheckpoint" in name)
    last = checkpoint.read(run.run_dir / "last.ckpt")
    values: dict[str, Any] = {"steps": last["global_step"], "validation": f"{float(score):.4f}"}
    if run.stage not in ("table", "twice"):
        return values
    data = checkpoint.load_data(run.run_dir / "best.ckpt")
    data.setup()
    x, y = data.test.all()
    for split in ("best", "last"):
        method: Any = checkpoint.load_method(run.run_dir / f"{split}.ckpt")[0]
        network = method.judged.eval()
        with torch.no_grad():
            values[f"clean_{split}"] = f"{(network(x).argmax(1) == y).float().mean().item():.4f}"
        values[f"pgd20_{split}"] = f"{pgd20(network, x, y, method.ball, 0).standing.float().mean().item():.4f}"
        if split == "best":
            left = autoattack(
                network, x[:POINTS], y[:POINTS], method.ball, state=run.run_dir / "autoattack.safetensors"
            )
            values["autoattack_best"] = f"{left.standing.float().mean().item():.4f}"
    return values


def tuned() -> dict[str, list[str]]:
    """The settings of each method with the highest validation accuracy, the first of equals."""
    found: dict[str, list[str]] = {}
    for method, settings in SETTINGS.items():
        scores = {
            line["settings"]: float(line["validation"])
            for line in lines()
            if line["stage"] == "tuning" and line["method"] == method
        }
        if len(scores) < len(settings):
            raise SystemExit(f"{method}: not all settings have been tried; python benchmarks/robust_table.py tune")
        found[method] = max(settings, key=lambda setting: scores[" ".join(setting)])
    return found


def interval(values: list[float]) -> str:
    """Mean and half width of its 95 % t interval, in per cent."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{100 * np.mean(values):.1f} ± {100 * half:.1f}"


def show(stage: str) -> None:
    """Markdown: what tuning chose, the accuracies, and the paired differences of ardir."""
    by_method: dict[str, dict[str, dict[str, str]]] = {}
    for line in lines():
        if line["stage"] == stage:
            half = line["method"] == "pgd_at" and int(line["steps"]) < TOTAL
            by_method.setdefault("the teacher, pgd_at" if half else line["method"], {})[line["seed"]] = line
    seeds = sorted(set.intersection(*(set(found) for found in by_method.values())))
    print(f"\n{stage}: {len(seeds)} seeds\n")
    columns = ["clean_best", "pgd20_best", "autoattack_best", "clean_last", "pgd20_last"]
    print("| method | settings | own steps | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 3))
    for method, found in by_method.items():
        cells = [interval([float(found[seed][column]) for seed in seeds]) for column in columns]
        first = found[seeds[0]]
        print(f"| {method} | {first['settings']} | {first['steps']} | {' | '.join(cells)} |")
    compared = ["pgd20_best", "autoattack_best", "pgd20_last"]
    print("\n| ardir minus | " + " | ".join(compared) + " |\n|" + "---|" * 4)
    for method, found in by_method.items():
        if method != "ardir":
            pairs = [
                [float(by_method["ardir"][seed][column]) - float(found[seed][column]) for seed in seeds]
                for column in compared
            ]
            print(f"| {method} | {' | '.join(interval(values) for values in pairs)} |")


def main(arguments: list[str]) -> None:
    if arguments == ["show"]:
        show("table")
        show("twice")
        return
    if arguments not in (["tune"], ["run"], ["twice"]):
        raise SystemExit(__doc__)
    import torch

    torch.set_num_threads(1)
    if arguments == ["tune"]:
        runs = [run_of("tuning", m, setting, TUNING_SEED) for m, settings in SETTINGS.items() for setting in settings]
    elif arguments == ["twice"]:
        chosen = tuned()
        runs = [run_of("twice", method, chosen[method], seed, 2 * TOTAL) for seed in TWICE_SEEDS for method in TWICE]
    else:
        chosen = tuned()
        runs = [run_of("table", method, chosen[method], seed) for seed in SEEDS for method in SETTINGS]
        runs += [Run("table", "pgd_at", TEACHER, seed, TOTAL // STEPS_AN_EPOCH // 2) for seed in SEEDS]  # the teachers
    for run in runs:
        execute(run)


if __name__ == "__main__":
    main(sys.argv[1:])
