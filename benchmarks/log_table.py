"""The tables of docs/logs.md: every log detector on BGL, by line, by distinct line and by alert type.

    python benchmarks/log_table.py bgl data_root=DIR            3 seeds x 2 splits x every method
    python benchmarks/log_table.py generated                    3 seeds x every method, the embedded log
    python benchmarks/log_table.py preprocessing data_root=DIR  what the placeholders cost, chronological

Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/; what is finished is not run again, so a broken-off table
goes on where it stopped; `... show` only prints what there is. Means over seeds with 95 % t intervals, from the runs'
report.json; the runs of the documentation's tables are in benchmarks/results/.
"""

import contextlib
import json
import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

HERE = Path(__file__).parent
RUNS = HERE / "runs"
METHODS = ["never_seen", "tfidf_nearest", "log_electra", "tfidf_isolation_forest", "pca_templates", "deep_log"]
METHODS += ["mean_log_likelihood", "log_bert", "date", "pu_log_electra"]
COLUMNS = [("line", "auroc"), ("line", "auprc"), ("line", "f1_quantile"), ("distinct", "auroc"), ("distinct", "auprc")]
COLUMNS += [("window_100", "auroc")]
PLACEHOLDERS = {"all": None, "HEX, NUM": "[HEX,NUM]", "DATE, IP, PATH": "[DATE,IP,PATH]", "none": "[]"}
LABELLED = ["data.num_labelled=50"]
"""What pu_log_electra has that the others have not: 50 known alerts of the training part."""


@dataclass(frozen=True)
class Run:
    """One run: the method, the split and the seed, and the placeholders of the preprocessing."""

    method: str
    seed: int
    split: str = "chronological"
    data: str = "bgl"
    placeholders: str = "all"

    @property
    def run_dir(self) -> Path:
        kind = self.split if self.placeholders == "all" else f"{self.split}-{self.placeholders.replace(', ', '_')}"
        return RUNS / self.data / kind / self.method / f"seed{self.seed}"

    @property
    def overrides(self) -> list[str]:
        lines = [f"experiment=log_electra/{self.data}", f"method={self.method}", f"run_dir={self.run_dir}"]
        lines += [f"data.split={self.split}", f"seed={self.seed}"]
        asked = PLACEHOLDERS[self.placeholders]
        lines += [] if asked is None else [f"data.placeholders={asked}"]
        return lines + (LABELLED if self.method == "pu_log_electra" else [])

    def rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Rows of the report by (split, metric), none before the run has finished."""
        report = self.run_dir / "report.json"
        if not report.exists():
            return {}
        return {(row["split"], row["metric"]): row for row in json.loads(report.read_text())["rows"]}

    def fit_seconds(self) -> float:
        return float(json.loads((self.run_dir / "report.json").read_text())["cost"]["fit_seconds"])


def execute(task: tuple[Run, list[str]]) -> None:
    """Runs one in this process unless its report is there."""
    run, extra = task
    if run.rows():
        return
    import torch

    from lit_unlearn.fit import fit

    torch.set_num_threads(1)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    with (run.run_dir.parent / f"{run.run_dir.name}.log").open("w") as log, contextlib.redirect_stdout(log):
        fit([*run.overrides, *extra])


def text(values: list[float]) -> str:
    """Mean and half width of the 95 % t interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.3f} ± {half:.3f}" if np.isfinite(half) else f"{np.mean(values):.3f}"


def table(groups: dict[str, list[Run]]) -> str:
    """Markdown: a line a group, means over its finished runs."""
    head = " | ".join(f"{split} {metric}" for split, metric in COLUMNS)
    lines = [f"| | {head} | training [s] | runs |", "|---" * (len(COLUMNS) + 3) + "|"]
    for name, runs in groups.items():
        done = [run for run in runs if run.rows()]
        if done:
            cells = [text([run.rows()[column]["value"] for run in done if column in run.rows()]) for column in COLUMNS]
            seconds = np.mean([run.fit_seconds() for run in done])
            lines.append(f"| {name} | {' | '.join(cells)} | {seconds:.0f} | {len(done)} |")
    return "\n".join(lines)


def tag_table(runs: list[Run], methods: list[str]) -> str:
    """Markdown: AUROC of each alert type against all normal lines, mean over the seeds that have the type."""
    by_method = {m: [run.rows() for run in runs if run.method == m and run.rows()] for m in methods}
    counts: dict[str, int] = {}
    for rows in by_method.get(methods[0], []):
        for (split, metric), row in rows.items():
            if metric == "recall":
                counts[split] = max(counts.get(split, 0), row["n"])
    lines = [f"| alert | lines | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    for tag, count in sorted(counts.items(), key=lambda item: -item[1]):
        cells = [[rows[tag, "auroc"]["value"] for rows in by_method[m] if (tag, "auroc") in rows] for m in methods]
        means = " | ".join(f"{np.mean(values):.3f}" if values else "" for values in cells)
        lines.append(f"| {tag} | {count} | {means} |")
    return "\n".join(lines)


def write_results(runs: list[Run], path: Path) -> None:
    """What the tables are made from: a line of CSV for each finished run."""
    path.parent.mkdir(exist_ok=True)
    lines = ["data,split,placeholders,method,seed," + ",".join(f"{split}_{metric}" for split, metric in COLUMNS)]
    for run in runs:
        rows = run.rows()
        if rows:
            cells = [f"{rows[column]['value']:.6f}" if column in rows else "" for column in COLUMNS]
            name = f'"{run.placeholders}"'
            lines.append(",".join([run.data, run.split, name, run.method, str(run.seed), *cells]))
    path.write_text("\n".join(lines) + "\n")


def main(arguments: list[str]) -> None:
    what, *extra = arguments
    show = "show" in extra
    match what:
        case "bgl":
            runs = [Run(m, s, split) for s in range(3) for split in ("chronological", "random") for m in METHODS]
        case "generated":
            runs = [Run(m, s, data="generated") for s in range(3) for m in METHODS]
        case "preprocessing":
            methods = ["never_seen", "tfidf_nearest", "log_electra"]
            runs = [Run(m, 0, placeholders=p) for p in PLACEHOLDERS for m in methods]
        case _:
            raise SystemExit(f"{what}: no such table; allowed: bgl, generated, preprocessing")
    if not show:
        with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=10) as pool:
            for _ in tqdm(pool.imap_unordered(execute, [(run, extra) for run in runs]), total=len(runs)):
                pass
    write_results(runs, HERE / "results" / f"logs_{what}.csv")
    for split in dict.fromkeys(run.split for run in runs):
        mine = [run for run in runs if run.split == split]
        groups: dict[str, list[Run]] = {}
        for run in mine:
            name = f"{run.method}, {run.placeholders}" if what == "preprocessing" else run.method
            groups.setdefault(name, []).append(run)
        print(f"{split}\n\n{table(groups)}\n")
        if what != "preprocessing":
            print(f"{tag_table(mine, METHODS[:3])}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
