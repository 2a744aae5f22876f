"""The table of docs/concepts.md: a concept's own graph against other texts about it, with the same loss and steps.

    python benchmarks/concept_table.py          3 seeds a method on the test targets; goes on where it was broken off
    python benchmarks/concept_table.py show     prints what there is

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

Each run is an ordinary `lit_unlearn.fit` in benchmarks/runs/concepts/; all methods have the loss, learning rate,
steps and the retain terms that were chosen for concept_unlearning on the validation people, but refusal tuning its own
loss. Each finished run is a line of benchmarks/results/concept_biographies.csv. Means with 95 % t intervals over seeds.
"""

import contextlib
import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).parent
RUNS, RESULTS = HERE / "runs" / "concepts", HERE / "results" / "concept_biographies.csv"
METHODS = ["concept_unlearning", "given_sentences", "generated_biographies", "refusal_tuning"]
SEEDS = range(3)
COLUMNS = {
    "edges, trained": "concept/edge_recall/trained",
    "edges, held-out relations": "concept/edge_recall/heldout",
    "edges, paraphrases": "concept/edge_recall/paraphrase",
    "edges, both": "concept/edge_recall/heldout_paraphrase",
    "nodes": "concept/node_recall/trained",
    "nodes, held out": "concept/node_recall/heldout",
    "nodes, 3 facts": "concept/node_recall/three_facts",
    "multi-hop": "concept/multi_hop_leakage/chained",
    "residual": "concept/residual_triplets/share",
    "residual, as before": "concept/residual_triplets/of_before",
    "retained": "behaviour/accuracy/retain",
    "neighbours": "behaviour/accuracy/neighbour",
    "neighbours, sentences": "behaviour/accuracy/neighbour_statement",
    "neighbours, reverse": "behaviour/accuracy/neighbour_reverse",
    "perplexity": "utility/perplexity/general",
    "probe, name": "representation/probe_auroc_vs_unknown/raw",
}


@dataclass(frozen=True)
class Run:
    """A method with a seed."""

    method: str
    seed: int

    @property
    def run_dir(self) -> Path:
        return RUNS / self.method / f"seed{self.seed}"

    @property
    def overrides(self) -> list[str]:
        lines = ["experiment=concept_unlearning/biographies", f"method={self.method}", f"seed={self.seed}"]
        lines += [f"run_dir={self.run_dir}", "data.num_extracted=10", "trainer.limit_val_batches=0"]
        return [*lines, "model.sae=null", "model.heldout_sae=null"]

    def report(self) -> dict[str, Any]:
        """The finished run's report; empty before."""
        path = self.run_dir / "report.json"
        return json.loads(path.read_text()) if path.exists() else {}


def remembering(extract: Callable[..., Any]) -> Callable[..., Any]:
    """The extraction, which gives the same for the same model, name and settings, done once in this process."""
    from lit_unlearn.concepts.files import weights_hash

    found: dict[tuple[str, str, str], Any] = {}

    def once(model: Any, tokenizer: Any, name: str, aliases: Any, settings: Any) -> Any:
        key = weights_hash(model), name, settings.model_dump_json()
        if key not in found:
            found[key] = extract(model, tokenizer, name, aliases, settings)
        return found[key]

    return once


def execute(run: Run) -> None:
    """Runs one in this process unless its report is there."""
    if run.report():
        return
    import torch

    from lit_unlearn.fit import fit

    torch.set_num_threads(1)
    run.run_dir.parent.mkdir(parents=True, exist_ok=True)
    with (run.run_dir.parent / f"seed{run.seed}.log").open("w") as log, contextlib.redirect_stdout(log):
        fit(run.overrides)


def line(run: Run) -> list[str]:
    """A run as a line of the CSV."""
    report = run.report()
    rows = {f"{row['suite']}/{row['metric']}/{row['split']}": row for row in report["rows"]}
    cells = [f"{rows[name]['value']:.6f}" if name in rows else "" for name in COLUMNS.values()]
    return [run.method, str(run.seed), *cells, f"{report['cost']['fit_seconds']:.1f}", str(report["cost"]["steps"])]


def write(runs: list[Run]) -> None:
    """A line for each finished run, and one each of the untouched model and of the reference."""
    done = [run for run in runs if run.report()]
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", *COLUMNS, "training [s]", "steps"])
        for which in ("before", "reference") if done else ():
            rows = {f"{r['suite']}/{r['metric']}/{r['split']}": r for r in done[0].report()["rows"]}
            cells = [rows.get(name, {}).get(which) for name in COLUMNS.values()]
            writer.writerow([which, "", *("" if cell is None else f"{cell:.6f}" for cell in cells), "", ""])
        writer.writerows(line(run) for run in done)


def table() -> str:
    """Markdown from the CSV: a line a method."""
    with RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"| | {' | '.join(COLUMNS)} | runs |", "|---" * (len(COLUMNS) + 2) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        cells = [text([float(row[name]) for row in own if row[name]]) for name in COLUMNS]
        lines.append(f"| {method} | {' | '.join(cells)} | {len(own)} |")
    return "\n".join(lines)


def text(values: list[float]) -> str:
    """Mean and half width of the 95 % t interval."""
    if not values:
        return ""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.3f} ± {half:.3f}" if np.isfinite(half) else f"{np.mean(values):.3f}"


def main(arguments: list[str]) -> None:
    if arguments not in ([], ["show"]):
        raise SystemExit(f"{' '.join(arguments)}: no such table; give nothing, or show")
    pairs = METHODS[:2], METHODS[2:]  # the two that are compared first
    runs = [Run(method, seed) for some in pairs for seed in SEEDS for method in some]
    if not arguments:
        from lit_unlearn.evaluation import llm_concept
        from lit_unlearn.methods.llm import concept_unlearning

        once = remembering(llm_concept.extract_concept)
        llm_concept.extract_concept = concept_unlearning.extract_concept = once  # type: ignore[assignment]
        for run in runs:
            execute(run)
            write(runs)
    print(table())


if __name__ == "__main__":
    main(sys.argv[1:])
