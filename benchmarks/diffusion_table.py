"""The tables of docs/diffusion.md: what each method draws after training on contaminated digits.

    python benchmarks/diffusion_table.py main      fine-tuning of contaminated models, 3 seeds x every method
    python benchmarks/diffusion_table.py scratch   the same from scratch
    python benchmarks/diffusion_table.py stress    S covers some sensitive classes only; beta wrong by 0.5 to 3
    python benchmarks/diffusion_table.py overlap   a sensitive class that a filter hardly separates
    python benchmarks/diffusion_table.py classes   a digit taken from a class-conditional model, 3 seeds
    python benchmarks/diffusion_table.py mnist data_root=DIR     three methods, both directions

Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/; what is finished is not run again, so a broken-off table
goes on where it stopped; `main seed=0` makes one seed alone, `main show` only prints what there is. Means over seeds
with 95 % t intervals, from the runs' report.json; every finished run is a line of
benchmarks/results/diffusion_<table>.csv.
"""

import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

HERE = Path(__file__).parent
RUNS = HERE / "runs" / "diffusion"
SEEDS = (0, 1, 2)
METHODS = {  # name in the tables: overrides
    "unsupervised": ["method=unsupervised_diffusion"],
    "pu": ["method=pu_diffusion"],
    "filter, then train": ["method=filtered_diffusion"],
    "oracle": ["method=unsupervised_diffusion", "data.contamination=0"],
    "supervised": ["method=supervised_diffusion"],
    "pu, pixel mean": ["method=pu_diffusion_mean"],
    "pu, pixel sum": ["method=pu_diffusion_sum"],
}
FOREIGN = ["model.unet=null", "trainer.max_epochs=30"]
COLUMNS = [
    ("generation", "non_sensitive_rate", "all"),
    ("generation", "frechet", "all"),
    ("generation", "precision", "all"),
    ("generation", "recall", "all"),
    ("validation", "non_sensitive_rate", "all"),
    ("validation", "frechet", "all"),
    ("forgetting", "forgotten_rate", "asked"),
    ("forgetting", "asked_accuracy", "retain"),
    ("attack", "forgotten_rate", "simplex"),
    ("attack", "forgotten_rate", "free"),
    ("attack", "forgotten_rate", "relearn_5"),
    ("attack", "forgotten_rate", "relearn_20"),
    *(("generation", "class_share", str(digit)) for digit in range(10)),
]


@dataclass(frozen=True)
class Run:
    """One run: where it stands in a table, and how it is started."""

    table: str
    setting: str
    method: str
    seed: int
    overrides: tuple[str, ...]

    @property
    def run_dir(self) -> Path:
        name = f"{self.setting}/{self.method}".replace(" ", "_").replace(",", "")
        return RUNS / self.table / name / f"seed{self.seed}"

    def numbers(self) -> dict[tuple[str, str, str], float]:
        """The rows of its report; empty before the run has finished."""
        report = self.run_dir / "report.json"
        if not report.exists():
            return {}
        made = json.loads(report.read_text())
        found = {(row["suite"], row["metric"], row["split"]): row["value"] for row in made["rows"]}
        return found | {("cost", "fit_seconds", "all"): made["cost"]["fit_seconds"]}


def main_runs() -> list[Run]:
    """Fine-tuning; seeds outermost, so that a broken-off table compares like with like, the clear losers last."""
    plain, runs = "experiment=unsupervised_diffusion/digits", []
    for seed in SEEDS:
        runs.append(Run("main", "scratch", "unsupervised", seed, (plain, *METHODS["unsupervised"])))
        base = f"model.path={RUNS}/main/scratch/unsupervised/seed{seed}/export"
        for method, lines in METHODS.items():
            runs.append(Run("main", "finetuned", method, seed, (plain, *lines, base, *FOREIGN)))
    return sorted(runs, key=lambda run: (run.method in ("supervised", "pu, pixel mean"), run.seed))


def scratch_runs() -> list[Run]:
    plain = "experiment=unsupervised_diffusion/digits"
    return [
        Run("main", "scratch", method, seed, (plain, *lines)) for seed in SEEDS for method, lines in METHODS.items()
    ]


def stress_runs() -> list[Run]:
    """Fine-tuned from the same models as in the main table."""
    settings = {
        "S covers 1 and 3": ["data.covered=[1,3]"],
        "beta x 3": ["method.beta=0.2727273"],
        "beta x 0.5": ["method.beta=0.0454545"],
        "12 labels": ["data.num_labelled=12"],
        "beta x 2": ["method.beta=0.1818182"],
    }
    runs = []
    for seed in SEEDS:
        for setting, changed in settings.items():
            base = f"model.path={RUNS}/main/scratch/unsupervised/seed{seed}/export"
            for method in ("pu", "filter, then train", "supervised"):
                if method == "supervised" and setting.startswith("beta"):
                    continue
                lines = ("experiment=unsupervised_diffusion/digits", *METHODS[method], base, *FOREIGN, *changed)
                runs.append(Run("stress", setting, method, seed, lines))
    return runs


def overlap_runs() -> list[Run]:
    """From scratch: one digit that looks like several others, and too few labels to tell it from them."""
    changed = ("data.sensitive=[8]", "data.num_labelled=12")
    runs = []
    for seed in SEEDS:
        for method in ("unsupervised", "pu", "filter, then train", "oracle"):
            lines = ("experiment=unsupervised_diffusion/digits", *METHODS[method], *changed)
            runs.append(Run("overlap", "8 sensitive, 12 labels", method, seed, lines))
    return runs


def class_runs() -> list[Run]:
    runs = []
    for seed in SEEDS:
        trained = ("experiment=unsupervised_diffusion/digits_conditional",)
        runs.append(Run("classes", "conditional", "before", seed, trained))
        base = f"model.path={RUNS}/classes/conditional/before/seed{seed}/export"
        for method in ("esd", "salun", "selective_amnesia", "sfd", "pu_diffusion"):
            short = ["trainer.max_epochs=5"] if method == "sfd" else []  # more distils worse pictures
            lines = ("experiment=esd/digits", f"method={method}", base, *short)
            runs.append(Run("classes", "conditional", method, seed, lines))
    return runs


def mnist_runs() -> list[Run]:
    runs = []
    for kind, sensitive in (("odd", "[1,3,5,7,9]"), ("even", "[0,2,4,6,8]")):
        for method in ("unsupervised", "supervised", "pu"):
            lines = ("experiment=pu_diffusion/mnist", *METHODS[method], f"data.sensitive={sensitive}")
            runs.append(Run("mnist", f"{kind} sensitive", method, 0, lines))
    return runs


def execute(run: Run, extra: list[str]) -> None:
    """Runs one cell in this process unless its report is there."""
    if run.numbers():
        return
    import torch

    from lit_unlearn.fit import fit

    torch.set_num_threads(1)
    run.run_dir.mkdir(parents=True, exist_ok=True)
    common = [f"run_dir={run.run_dir}", f"seed={run.seed}", "requires=[]", "callbacks.samples=null"]
    with (run.run_dir.parent / f"{run.run_dir.name}.log").open("w") as log, contextlib.redirect_stdout(log):
        fit([*run.overrides, *common, *extra])


def write_results(runs: list[Run], path: Path) -> None:
    """Every finished run as a line of CSV: what the tables are made from."""
    path.parent.mkdir(exist_ok=True)
    names = ["/".join(column) for column in COLUMNS]
    lines = [",".join(["setting", "method", "seed", *names, "fit_seconds"])]
    for run in runs:
        found = run.numbers()
        if found:
            values = [f"{found[column]:.6g}" if column in found else "" for column in COLUMNS]
            seconds = f"{found['cost', 'fit_seconds', 'all']:.1f}"
            quoted = [f'"{name}"' for name in (run.setting, run.method)]
            lines.append(",".join([*quoted, str(run.seed), *values, seconds]))
    path.write_text("\n".join(lines) + "\n")


def interval(values: list[float]) -> str:
    """Mean and half width of its 95 % t interval over seeds."""
    mean = f"{np.mean(values):.3f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {stats.t.ppf(0.975, len(values) - 1) * stats.sem(values):.3f}"


def table(runs: list[Run]) -> str:
    """Markdown: a line for each setting and method, means over the finished seeds."""
    forgetting = any(("forgetting", "forgotten_rate", "asked") in run.numbers() for run in runs)
    shown = [*COLUMNS[6:12], *COLUMNS[1:2]] if forgetting else COLUMNS[:4]
    shares = [] if forgetting else COLUMNS[12:]
    heads = [f"{metric} {split}" if suite in ("forgetting", "attack") else metric for suite, metric, split in shown]
    heads += ["share of 0 to 9 [%]"] if shares else []
    lines = [f"| setting | method | {' | '.join(heads)} | seconds | seeds |", "|---" * (len(heads) + 4) + "|"]
    for setting, method in dict.fromkeys((run.setting, run.method) for run in runs):
        found = [run.numbers() for run in runs if (run.setting, run.method) == (setting, method) and run.numbers()]
        if not found:
            continue
        cells = [interval([each[c] for each in found]) if c in found[0] else "" for c in shown]
        cells += [" ".join(f"{100 * np.mean([each[c] for each in found]):.0f}" for c in shares)] if shares else []
        seconds = np.mean([each["cost", "fit_seconds", "all"] for each in found])
        lines.append(f"| {setting} | {method} | {' | '.join(cells)} | {seconds:.0f} | {len(found)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    what, *extra = arguments
    tables = {
        "main": main_runs,
        "scratch": scratch_runs,
        "stress": stress_runs,
        "overlap": overlap_runs,
        "classes": class_runs,
        "mnist": mnist_runs,
    }
    if what not in tables:
        raise SystemExit(f"{what}: no such table; allowed: {', '.join(tables)}")
    runs = tables[what]()
    results = HERE / "results" / f"diffusion_{'digits' if what == 'main' else what}.csv"
    chosen = [] if "show" in extra else runs
    if extra and extra[0].startswith("seed="):
        chosen = [run for run in runs if f"seed={run.seed}" == extra[0]]
        extra = extra[1:]
    for number, run in enumerate(chosen, 1):
        started = time.monotonic()
        execute(run, extra)
        write_results(runs, results)
        print(f"{number}/{len(chosen)} {run.setting} {run.method} seed {run.seed}: {time.monotonic() - started:.0f} s")
    write_results(runs, results)
    print(table(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
