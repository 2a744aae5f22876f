"""The tables of docs/anomaly.md: every detector on the paper's protocol, and the grid of contaminations and labels.

    python benchmarks/anomaly_table.py table data_root=DIR            18 settings x every method, Fashion-MNIST
    python benchmarks/anomaly_table.py grid data_root=DIR             contamination x number of labels
    python benchmarks/anomaly_table.py full data_root=DIR             9 normal classes x 5 seeds, as the paper has it

Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/; what is finished is not run again, so a broken-off table
goes on where it stopped. The tables are made from the runs' report.json, means over runs with 95 % t intervals.
"""

import contextlib
import itertools
import json
import multiprocessing
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm import tqdm

HERE = Path(__file__).parent
RUNS = HERE / "runs"
METHODS = ["pu_svdd", "deep_svdd", "deep_sad", "pu_autoencoder", "autoencoder", "abc", "pu_classifier", "loe", "soel"]
METHODS += ["isolation_forest"]
CONTAMINATIONS = [0.01, 0.05, 0.1, 0.2]
LABELS = [25, 50, 100, 250]


@dataclass(frozen=True)
class Run:
    """One cell's run: the method and what it is overridden with."""

    method: str
    normal: int
    unseen: int
    seed: int
    contamination: float | None = None
    labels: int | None = None

    @property
    def run_dir(self) -> Path:
        problem = "paper" if self.contamination is None else f"c{self.contamination:g}_l{self.labels}"
        return RUNS / "fashion_mnist" / problem / self.method / f"{self.normal}_{self.unseen}_{self.seed}"

    @property
    def overrides(self) -> list[str]:
        lines = ["experiment=pu_svdd/fashion_mnist", f"method={self.method}", f"run_dir={self.run_dir}"]
        lines += [f"data.normal_class={self.normal}", f"data.unseen_class={self.unseen}", f"seed={self.seed}"]
        if self.contamination is not None:
            lines += [f"data.contamination={self.contamination}", f"data.num_labelled={self.labels}"]
        return lines

    def auroc(self, split: str = "all") -> float | None:
        report = self.run_dir / "report.json"
        if not report.exists():
            return None
        rows = json.loads(report.read_text())["rows"]
        return next(r["value"] for r in rows if (r["suite"], r["metric"], r["split"]) == ("detection", "auroc", split))


def paper_runs(normals: Iterable[int], unseens: Iterable[int], seeds: Iterable[int], methods: list[str]) -> list[Run]:
    """Runs of the paper's protocol, the settings outermost, so that a broken-off table compares like with like."""
    settings = itertools.product(seeds, unseens, normals)
    return [Run(method, normal, unseen, seed) for seed, unseen, normal in settings for method in methods if normal != unseen]


def grid_runs() -> list[Run]:
    methods = ["pu_svdd", "pu_autoencoder", "deep_sad", "abc", "loe", "soel"]
    cells = sorted(itertools.product(CONTAMINATIONS, LABELS), key=lambda cell: (cell[1] != 250 and cell[0] != 0.05))
    return [
        Run(method, normal, unseen, 0, contamination, labels)
        for (normal, unseen), (contamination, labels), method in itertools.product([(0, 9), (4, 1), (8, 9)], cells, methods)
    ]


def execute(run: Run, extra: list[str]) -> None:
    """Runs one cell in this process unless its report is there."""
    if run.auroc() is not None:
        return
    import torch

    from lit_unlearn.fit import fit

    torch.set_num_threads(1)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    with (run.run_dir.parent / f"{run.run_dir.name}.log").open("w") as log, contextlib.redirect_stdout(log):
        fit([*run.overrides, *extra])


def _worker(task: tuple[Run, list[str]]) -> None:
    execute(*task)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % t interval (NaN for fewer than two values)."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return float(np.mean(values)), float(half)


def method_table(runs: list[Run]) -> str:
    """Markdown: a line a method, mean AUROC over the settings that every method has finished."""
    settings = {(run.normal, run.unseen, run.seed) for run in runs}
    for run in runs:
        if run.auroc() is None:
            settings.discard((run.normal, run.unseen, run.seed))
    lines = ["| method | AUROC all | seen | unseen | runs |", "|---|---|---|---|---|"]
    means = []
    for method in dict.fromkeys(run.method for run in runs):
        mine = [run for run in runs if run.method == method and (run.normal, run.unseen, run.seed) in settings]
        cells = [interval([value for run in mine if (value := run.auroc(split)) is not None]) for split in ("all", "seen", "unseen")]
        text = " | ".join(f"{mean:.3f} ± {half:.3f}" for mean, half in cells)
        means.append((cells[0][0], f"| {method} | {text} | {len(mine)} |"))
    return "\n".join(lines + [line for _, line in sorted(means, reverse=True)])


def main(arguments: list[str]) -> None:
    what, *extra = arguments
    match what:
        case "table":
            runs = paper_runs([0, 4, 8], [9, 1], range(3), METHODS)
        case "grid":
            runs = grid_runs()
        case "full":
            runs = paper_runs([n for n in range(10) if n != 9], [9], range(5), ["pu_svdd", "deep_svdd"])
        case _:
            raise SystemExit(f"{what}: no such table; allowed: table, grid, full")
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=40) as pool:
        for _ in tqdm(pool.imap_unordered(_worker, [(run, extra) for run in runs]), total=len(runs)):
            pass
    print(method_table(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
