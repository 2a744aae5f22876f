"""The tables of docs/anomaly.md: every detector on the paper's protocol, and the grid of contaminations and labels.

    python benchmarks/anomaly_table.py digits                         3 seeds x every method, embedded digits
    python benchmarks/anomaly_table.py table data_root=DIR            18 settings x every method, Fashion-MNIST
    python benchmarks/anomaly_table.py grid data_root=DIR             contamination x number of labels
    python benchmarks/anomaly_table.py full data_root=DIR             9 normal classes x 5 seeds, as the paper has it

Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/; what is finished is not run again, so a broken-off table
goes on where it stopped; `table show` and `grid show` only print what there is. Means over runs with 95 % t intervals,
from the runs' report.json; the runs of the documentation's tables are in benchmarks/results/.
"""

import contextlib
import itertools
import json
import multiprocessing
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from tqdm import tqdm

HERE = Path(__file__).parent
RUNS = HERE / "runs"
METHODS = ["pu_svdd", "deep_svdd", "deep_sad", "pu_autoencoder", "autoencoder", "abc", "pu_classifier", "loe", "soel"]
METHODS += ["isolation_forest"]
GRID_METHODS = ["pu_svdd", "pu_autoencoder", "deep_sad", "abc", "loe", "soel"]
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
    data: str = "fashion_mnist"

    @property
    def run_dir(self) -> Path:
        problem = "paper" if self.contamination is None else f"c{self.contamination:g}_l{self.labels}"
        return RUNS / self.data / problem / self.method / f"{self.normal}_{self.unseen}_{self.seed}"

    @property
    def overrides(self) -> list[str]:
        lines = [f"experiment=pu_svdd/{self.data}", f"method={self.method}", f"run_dir={self.run_dir}"]
        lines += [f"data.normal_class={self.normal}", f"data.unseen_class={self.unseen}", f"seed={self.seed}"]
        if self.contamination is not None:
            lines += [f"data.contamination={self.contamination}", f"data.num_labelled={self.labels}"]
        return lines

    def auroc(self, split: str = "all") -> Any:
        """AUROC of a split, None before the run has finished."""
        report = self.run_dir / "report.json"
        if not report.exists():
            return None
        rows = json.loads(report.read_text())["rows"]
        return next(r["value"] for r in rows if (r["suite"], r["metric"], r["split"]) == ("detection", "auroc", split))


def paper_runs(normals: Iterable[int], unseens: Iterable[int], seeds: Iterable[int], methods: list[str]) -> list[Run]:
    """Runs of the paper's protocol, the settings outermost, so that a broken-off table compares like with like."""
    settings = itertools.product(seeds, unseens, normals)
    return [
        Run(method, normal, unseen, seed) for seed, unseen, normal in settings for method in methods if normal != unseen
    ]


def grid_runs() -> list[Run]:
    """The grid in the order of what it tells most: its two axes through (5 %, 250 labels), the corners, the rest."""

    def rank(cell: tuple[float, int]) -> int:
        on_an_axis = cell[0] == 0.05 or cell[1] == 250
        return 0 if on_an_axis else 1 if cell in itertools.product([0.01, 0.2], [25, 250]) else 2

    cells = sorted(itertools.product(CONTAMINATIONS, LABELS), key=rank)
    by_rank = [list(group) for _, group in itertools.groupby(cells, key=rank)]
    settings = [(0, 9), (4, 1), (8, 9)]
    return [
        Run(method, normal, unseen, 0, contamination, labels)
        for group in by_rank
        for (normal, unseen), (contamination, labels), method in itertools.product(settings, group, GRID_METHODS)
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
    """Markdown: a line a method, mean AUROC over the settings that every method has finished.

    The last column is the mean of the paired differences to the first method, setting by setting.
    """
    methods = list(dict.fromkeys(run.method for run in runs))
    by_setting: dict[tuple[int, int, int], dict[str, Run]] = {}
    for run in runs:
        if run.auroc() is not None:
            by_setting.setdefault((run.normal, run.unseen, run.seed), {})[run.method] = run
    whole = [found for found in by_setting.values() if len(found) == len(methods)]
    lines = []
    for method in methods:
        areas = {split: [found[method].auroc(split) for found in whole] for split in ("all", "seen", "unseen")}
        first = [found[methods[0]].auroc() for found in whole]
        cells = [interval(values) for values in areas.values()]
        cells.append(interval([mine - its for mine, its in zip(areas["all"], first, strict=True)]))
        texts = [f"{mean:.3f} ± {half:.3f}" for mean, half in cells[:3]] + [f"{cells[3][0]:+.3f} ± {cells[3][1]:.3f}"]
        lines.append((cells[0][0], f"| {method} | {' | '.join(texts)} |"))
    head = f"| method ({len(whole)} runs each) | AUROC all | seen | unseen | all, minus {methods[0]} |"
    return "\n".join([head, "|---|---|---|---|---|", *(line for _, line in sorted(lines, reverse=True))])


def grid_table(runs: list[Run]) -> str:
    """Markdown: a line a cell that every method has finished, mean AUROC over the settings."""
    lines = [
        "| contamination | labels | " + " | ".join(GRID_METHODS) + " | runs |",
        "|---" * (len(GRID_METHODS) + 3) + "|",
    ]
    for contamination, labels in itertools.product(CONTAMINATIONS, LABELS):
        found = grid_cell(runs, contamination, labels)
        if found:
            best = max(np.mean(values) for values in found.values())
            texts = [f"{np.mean(v):.3f} ± {interval(v)[1]:.3f}" for v in found.values()]
            texts = [f"**{t}**" if np.mean(v) == best else t for t, v in zip(texts, found.values(), strict=True)]
            lines.append(f"| {contamination:.0%} | {labels} | {' | '.join(texts)} | {len(found[GRID_METHODS[0]])} |")
    return "\n".join(lines)


def grid_cell(runs: list[Run], contamination: float, labels: int) -> dict[str, list[float]]:
    """AUROC by method over the settings that every method has finished; empty where there is none."""
    mine = [run for run in runs if (run.contamination, run.labels) == (contamination, labels)]
    values = {(run.method, run.normal, run.unseen): run.auroc() for run in mine}
    settings = dict.fromkeys((run.normal, run.unseen) for run in mine)
    whole = [s for s in settings if all(values[m, *s] is not None for m in GRID_METHODS)]
    return {m: [float(values[m, *s] or 0) for s in whole] for m in GRID_METHODS} if whole else {}


def grid_figure(runs: list[Run], path: Path) -> None:
    """The two axes of the grid: AUROC by contamination at 250 labels, and by number of labels at 5 %."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    colours = ["#d55e00", "#cc79a7", "#0072b2", "#56b4e9", "#e69f00", "#009e73"]
    for ax, cells, positions, label in (
        (
            axes[0],
            [(c, 250) for c in CONTAMINATIONS],
            [100 * c for c in CONTAMINATIONS],
            "anomalies among unlabeled items [%]",
        ),
        (axes[1], [(0.05, n) for n in LABELS], LABELS, "labelled anomalies"),
    ):
        for shift, (method, colour) in enumerate(zip(GRID_METHODS, colours, strict=True)):
            found = [
                (x, grid_cell(runs, *cell)[method])
                for x, cell in zip(positions, cells, strict=True)
                if grid_cell(runs, *cell)
            ]
            x = [position * 1.015 ** (shift - 2.5) for position, _ in found]  # beside each other, not on top
            means, ends = [float(np.mean(v)) for _, v in found], [[min(v), max(v)] for _, v in found]
            ax.plot(x, means, "o-", color=colour, label=method, lw=2 if method.startswith("pu_") else 1.2, ms=4)
            ax.vlines(x, [low for low, _ in ends], [high for _, high in ends], color=colour, lw=0.8, alpha=0.5)
        ax.set_xscale("log")
        ax.set_xticks(positions, [f"{p:g}" for p in positions])
        ax.minorticks_off()
        ax.set_xlabel(label)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("AUROC, all anomalies")
    axes[0].set_title("250 labels")
    axes[1].set_title("5 % contamination")
    axes[1].legend(fontsize=8)
    figure.suptitle("Fashion-MNIST: mean over three settings, bars from the lowest to the highest")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def write_results(runs: list[Run], path: Path) -> None:
    """The AUROC of every finished run as a line of CSV: what the tables are made from."""
    path.parent.mkdir(exist_ok=True)
    lines = ["data,contamination,labels,method,normal,unseen,seed,auroc_all,auroc_seen,auroc_unseen"]
    for run in runs:
        if run.auroc() is not None:
            problem = ["", ""] if run.contamination is None else [run.contamination, run.labels]
            areas = [f"{run.auroc(split):.6f}" for split in ("all", "seen", "unseen")]
            cells = [run.data, *problem, run.method, run.normal, run.unseen, run.seed, *areas]
            lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")


def main(arguments: list[str]) -> None:
    what, *extra = arguments
    match what:
        case "table":
            runs = paper_runs([0, 4, 8], [9, 1], range(3), METHODS)
        case "digits":
            runs = [Run(method, 0, 9, seed, data="digits") for method in METHODS for seed in range(3)]
        case "grid":
            runs = grid_runs()
        case "full":
            runs = paper_runs([n for n in range(10) if n != 9], [9], range(5), ["pu_svdd", "deep_svdd"])
        case _:
            raise SystemExit(f"{what}: no such table; allowed: digits, table, grid, full")
    if "show" not in extra:
        with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=40) as pool:
            for _ in tqdm(pool.imap_unordered(_worker, [(run, extra) for run in runs]), total=len(runs)):
                pass
    write_results(runs, HERE / "results" / f"{what}.csv")
    print(grid_table(runs) if what == "grid" else method_table(runs))
    if what == "grid":
        grid_figure(runs, HERE.parent / "docs" / "images" / "anomaly_grid.png")


if __name__ == "__main__":
    main(sys.argv[1:])
