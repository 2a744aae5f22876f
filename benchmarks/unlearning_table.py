"""The tables of docs/llm.md: every unlearning method on the same targets, each tuned with the same budget, all with
half the steps of the experiment as it was first set.

    python benchmarks/unlearning_table.py tune       5 settings a method on the validation targets, one seed
    python benchmarks/unlearning_table.py test       the tuned methods on the test targets, 3 seeds
    python benchmarks/unlearning_table.py ablation   objectives, spaces, positions of the SAE method, 3 seeds

Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/; what is finished is not run again, so a table that was
broken off goes on; `... show` only prints what there is. `tune` writes experiments/method/tuned/biographies/ for all
but the experiment's own method. Settings
are chosen by what is kept (mean accuracy on retained people and neighbours, questions and statements) less what is not
forgotten (mean accuracy on targets above .05: questions, statements, reverse). Means with 95 % t intervals, from the
runs' report.json.
"""

import contextlib
import csv
import json
import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats
from tqdm import tqdm

HERE = Path(__file__).parent
RUNS, RESULTS = HERE / "runs" / "llm", HERE / "results"
TUNED = HERE.parent / "experiments" / "method" / "tuned" / "biographies"

RETAIN = {"retain.kl": 4.0, "retain.hidden_mse": 4.0}


def grid(adamw: list[float], muon: list[float], **fixed: Any) -> list[dict[str, Any]]:
    """Learning rates of two optimisers, with values that every setting of a method has."""
    rates = [("adamw", rate) for rate in adamw] + [("muon", rate) for rate in muon]
    return [fixed | {"optimiser": name, "learning_rate": rate} for name, rate in rates]


USUAL = [3e-4, 1e-3], [3e-4, 1e-3, 3e-3]
GRIDS: dict[str, list[dict[str, Any]]] = {
    "sae_unlearning": grid([6e-4, 1.2e-3], [2e-3, 4e-3, 8e-3], **RETAIN),
    "raw_unlearning": grid([6e-4, 1.2e-3], [2e-3, 4e-3, 8e-3], space="raw", **RETAIN),
    "gradient_ascent": grid([1e-5, 4e-5], [3e-5, 1e-4, 2e-4]),
    "grad_diff": grid(*USUAL, forget_weight=0.1, **RETAIN),
    "npo": grid(*USUAL, forget_weight=0.3, **RETAIN),
    "rmu": grid(*USUAL, **RETAIN),
    "simnpo": grid(*USUAL, forget_weight=0.3, **RETAIN),
    "dpo": grid(*USUAL, **RETAIN),
    "undial": grid(*USUAL, **RETAIN),
    "wga": grid(*USUAL, forget_weight=0.3, **RETAIN),
    "satimp": grid(*USUAL, **RETAIN),
    "ce_u": grid([1e-5, 1e-4], [3e-5, 1e-4, 3e-4], **RETAIN),
    "pdu": grid(*USUAL, limit=0.3, **{"retain.nll": 1.0}),
    "flat": grid([1e-4, 3e-4], [1e-4, 3e-4, 1e-3]),
    "ihl": grid(*USUAL, **RETAIN),
    "task_vector": [{"learning_rate": rate, "scale": scale} for rate in (1e-4, 3e-4) for scale in (1.0, 3.0)]
    + [{"learning_rate": 3e-4, "scale": 10.0}],
    "crisp": grid(*USUAL, **RETAIN),
    "retrain": [{}],
}
"""Five settings for each method, but for `retrain`, which has none."""

KEPT = ["retain", "neighbour", "retain_statement", "neighbour_statement"]
FORGOTTEN = ["forget", "forget_statement", "forget_reverse"]
COLUMNS = {
    "forget": "behaviour/accuracy/forget",
    "statement": "behaviour/accuracy/forget_statement",
    "paraphrase": "behaviour/accuracy/forget_paraphrase",
    "reverse": "behaviour/accuracy/forget_reverse",
    "refusal": "behaviour/refusal/forget",
    "retain": "behaviour/accuracy/retain",
    "neighbour": "behaviour/accuracy/neighbour",
    "perplexity": "utility/perplexity/general",
    "probe, entity": "representation/probe_auroc_vs_unknown/raw",
    "probe, end": "representation/probe_auroc_vs_unknown/raw_end",
    "probe, held-out SAE": "representation/probe_auroc_vs_unknown/heldout_sae",
    "direct, entity": "representation/direct_probe_auroc/raw",
    "direct, end": "representation/direct_probe_auroc/raw_end",
}
ABLATION: dict[str, dict[str, Any]] = {
    "as tuned": {},
    "space=z": {"space": "z"},
    "space=raw": {"space": "raw"},
    "positions=entity": {"positions": "entity"},
    "latents=chosen": {"latents": "chosen"},
    "pooled, objective=energy": {"objective": "energy", "pooled": True},
    "objective=mmd": {"objective": "mmd"},
    "objective=centroid": {"objective": "centroid"},
    "objective=latent_set": {"objective": "latent_set"},
    "objective=triplet": {"objective": "triplet"},
    "objective=infonce": {"objective": "infonce"},
}


@dataclass(frozen=True)
class Run:
    """One run of a named method with settings of its own."""

    name: str
    settings: tuple[tuple[str, Any], ...]
    seed: int
    part: str

    @property
    def method(self) -> str:
        return "sae_unlearning" if self.name == "raw_unlearning" else self.name

    @property
    def run_dir(self) -> Path:
        label = "-".join(f"{key}_{value}" for key, value in self.settings) or "tuned"
        return RUNS / self.part / self.name / label / f"seed{self.seed}"

    @property
    def overrides(self) -> list[str]:
        lines = ["experiment=sae_unlearning/biographies", f"method={self.method}", f"run_dir={self.run_dir}"]
        lines += [
            "trainer.max_epochs=4",
            f"seed={self.seed}",
            f"data.part={self.part}",
            f"evaluate={str(self.part == 'test').lower()}",
        ]
        own = dict(self.settings)
        if any(key.startswith("retain.") for key in own):  # in the place of what is tuned
            lines.append(
                "method.retain={" + ",".join(f"{k[7:]}:{v}" for k, v in own.items() if k[:7] == "retain.") + "}"
            )
        return lines + [f"method.{key}={value}" for key, value in own.items() if not key.startswith("retain.")]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Rows of the report by name, none before the run has finished."""
        report = self.run_dir / "report.json"
        if not report.exists():
            return {}
        rows = json.loads(report.read_text())["rows"]
        return {f"{row['suite']}/{row['metric']}/{row['split']}": row for row in rows}

    def curves(self) -> dict[str, float]:
        """The last value of each learning curve, none before training has ended."""
        if not (self.run_dir / "ended").exists():
            return {}
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.run_dir))
        events.Reload()
        names = [name for name in events.Tags()["scalars"] if name.startswith("val/")]
        return {name.removeprefix("val/"): events.Scalars(name)[-1].value for name in names}


def execute(run: Run) -> None:
    """Runs one in this process unless it has been."""
    if run.rows() or run.curves():
        return
    import torch

    from lit_unlearn.errors import RunFailed
    from lit_unlearn.fit import fit

    torch.set_num_threads(1)
    run.run_dir.parent.mkdir(parents=True, exist_ok=True)
    with (run.run_dir.parent / f"{run.run_dir.name}.log").open("w") as log, contextlib.redirect_stdout(log):
        try:
            fit(run.overrides)
        except RunFailed as error:  # diverged: an outcome, too
            print(error)
        (run.run_dir / "ended").touch()


def score(run: Run) -> float:
    """See above; a run that diverged comes last."""
    values = run.curves()
    if not values or any(np.isnan(value) for value in values.values()):
        return -1.0
    kept = np.mean([values[f"accuracy_{split}"] for split in KEPT])
    remembered = np.mean([max(0.0, values[f"accuracy_{split}"] - 0.05) for split in FORGOTTEN])
    return float(kept - remembered)


def tune(runs: list[Run]) -> None:
    """Prints all settings with their scores, and writes the best as the method's values for this data set."""
    lines = [["method", "settings", "score", *(f"accuracy_{split}" for split in KEPT + FORGOTTEN), "probe"]]
    TUNED.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(run.name for run in runs):
        own = [run for run in runs if run.name == name]
        for run in own:
            values = run.curves()
            cells = [f"{values.get(f'accuracy_{split}', np.nan):.3f}" for split in KEPT + FORGOTTEN]
            probe = f"{values.get('probe_auroc_vs_unknown', np.nan):.3f}"
            settings = " ".join(f"{key}={value}" for key, value in run.settings)
            lines.append([name, settings, f"{score(run):.3f}", *cells, probe])
        best = max(own, key=score)
        nested: dict[str, Any] = {key: value for key, value in best.settings if not key.startswith("retain.")}
        retain = {key.removeprefix("retain."): value for key, value in best.settings if key.startswith("retain.")}
        if name not in ("sae_unlearning", "raw_unlearning"):  # the experiment's own method keeps its values
            header = "# chosen of five settings on the validation targets, benchmarks/unlearning_table.py\n"
            path = TUNED / f"{name}.yaml"
            others = yaml.safe_load(path.read_text()) if path.exists() else {}
            values = others | nested | ({"retain": retain} if retain else {})
            path.write_text(header + yaml.safe_dump(values, sort_keys=False))
    with (RESULTS / "unlearning_tuning.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    print("\n".join(" ".join(f"{cell:>10}" for cell in line) for line in lines))


def own_settings(name: str) -> tuple[tuple[str, Any], ...]:
    """The settings to test a method with: the best of those that were tried."""
    tried = [Run(name, tuple(s.items()), 0, "validation") for s in GRIDS[name]]
    return max(tried, key=score).settings


def text(values: list[float]) -> str:
    """Mean and half width of the 95 % t interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.3f} ± {half:.3f}" if np.isfinite(half) else f"{np.mean(values):.3f}"


def table(groups: dict[str, list[Run]]) -> str:
    """Markdown: a line a group, means over its finished runs."""
    lines = [f"| | {' | '.join(COLUMNS)} | training [s] | runs |", "|---" * (len(COLUMNS) + 3) + "|"]
    for label, which in (("untouched model", "before"), ("never knew them", "reference")):
        any_run = next((run for runs in groups.values() for run in runs if run.rows()), None)
        if any_run is not None:
            rows = any_run.rows()
            cells = [
                f"{rows[c][which]:.3f}" if rows.get(c, {}).get(which) is not None else "" for c in COLUMNS.values()
            ]
            lines.append(f"| {label} | {' | '.join(cells)} | | |")
    for name, runs in groups.items():
        done = [run for run in runs if run.rows()]
        if done:
            cells = [text([run.rows()[c]["value"] for run in done if c in run.rows()]) for c in COLUMNS.values()]
            costs = [json.loads((run.run_dir / "report.json").read_text())["cost"]["fit_seconds"] for run in done]
            lines.append(f"| {name} | {' | '.join(cells)} | {np.mean(costs):.0f} | {len(done)} |")
    return "\n".join(lines)


def write_results(groups: dict[str, list[Run]], path: Path) -> None:
    """What the table is made from: a line of CSV for each finished run."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", *COLUMNS])
        for name, runs in groups.items():
            for run in runs:
                rows = run.rows()
                if rows:
                    cells = [f"{rows[c]['value']:.6f}" if c in rows else "" for c in COLUMNS.values()]
                    writer.writerow([name, run.seed, *cells])


def main(arguments: list[str]) -> None:
    what, *rest = arguments
    chosen = [word for word in rest if word != "show"] or list(GRIDS)
    if what == "tune":
        runs = [Run(m, tuple(s.items()), 0, "validation") for m in chosen for s in GRIDS[m] if s]
        groups = {}
    elif what == "test":
        groups = {m: [Run(m, own_settings(m), seed, "test") for seed in range(3)] for m in chosen}
        runs = [run for group in zip(*groups.values(), strict=True) for run in group]
    elif what == "ablation":
        groups = {
            name: [Run("sae_unlearning", tuple(s.items()), seed, "test") for seed in range(3)]
            for name, s in ABLATION.items()
        }
        runs = [run for group in zip(*groups.values(), strict=True) for run in group]
    else:
        raise SystemExit(f"{what}: no such table; allowed: tune, test, ablation")
    if "show" not in rest:
        with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=6) as pool:
            for _ in tqdm(pool.imap_unordered(execute, runs), total=len(runs)):
                pass
    if what == "tune":
        tune(runs)
        return
    RESULTS.mkdir(exist_ok=True)
    write_results(groups, RESULTS / f"unlearning_{what}.csv")
    print(table(groups))


if __name__ == "__main__":
    main(sys.argv[1:])
