"""The table of docs/llm.md on TOFU: every method of the domain on the small model that was trained on it here.

    python benchmarks/tofu_table.py data_root=PATH [model.reference=null ...] [METHOD ...]

One run a method with seed 0, an ordinary `lit_unlearn.fit` in benchmarks/runs/; what is finished is not run again. The
settings are those below: two epochs over the forgotten answers (the SAE method has its own number), retain terms as for
the biographies; not tuned, but for larger steps or weights where no answer had changed at first. What a run requires
(models, autoencoders) is made first. Values are those of the runs' report.json.
"""

import contextlib
import csv
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

HERE = Path(__file__).parent
RUNS, RESULT = HERE / "runs" / "tofu_table", HERE / "results" / "unlearning_tofu.csv"

RETAIN = "method.retain={kl: 4, hidden_mse: 4}"
USUAL = ["method.optimiser=adamw", "method.learning_rate=5e-4", RETAIN]
LARGER = ["method.optimiser=adamw", "method.learning_rate=1e-3", RETAIN]
SETTINGS: dict[str, list[str]] = {
    "sae_unlearning": [],
    "raw_unlearning": ["method.space=raw"],
    "gradient_ascent": ["method.learning_rate=2e-4"],
    "grad_diff": [*LARGER, "method.forget_weight=3"],
    "npo": [*USUAL, "method.forget_weight=0.3"],
    "simnpo": [*LARGER, "method.forget_weight=1"],
    "dpo": USUAL,
    "rmu": USUAL,
    "undial": USUAL,
    "wga": [*LARGER, "method.forget_weight=3"],
    "satimp": [*LARGER, "method.forget_weight=3"],
    "ce_u": ["method.learning_rate=5e-5", RETAIN],
    "pdu": ["method.learning_rate=5e-4"],
    "flat": ["method.learning_rate=1e-4"],
    "ihl": ["method.learning_rate=3e-3", RETAIN],
    "task_vector": ["method.learning_rate=3e-4", "method.scale=3"],
    "crisp": [*USUAL, "method.forget_weight=1"],
    "retrain": [],
}
COLUMNS = {
    "answered": "behaviour/accuracy/forget",
    "probability": "behaviour/probability/forget",
    "in other words": "behaviour/probability/forget_paraphrase",
    "refused": "behaviour/refusal/forget",
    "truth ratio": "behaviour/truth_ratio/forget",
    "others answered": "behaviour/accuracy/retain",
    "others' probability": "behaviour/probability/retain",
    "invented names refused": "behaviour/refusal/unknown",
    "probe, name": "representation/probe_auroc_vs_unknown/raw",
    "probe, end": "representation/probe_auroc_vs_unknown/raw_end",
    "direct, end": "representation/direct_probe_auroc/raw_end",
}


def rows(name: str) -> dict[str, dict[str, Any]]:
    """Rows of a run's report by name, none before it has finished."""
    report = RUNS / name / "report.json"
    if not report.exists():
        return {}
    return {f"{row['suite']}/{row['metric']}/{row['split']}": row for row in json.loads(report.read_text())["rows"]}


def execute(name: str, overrides: list[str]) -> None:
    """Runs a method unless it has been."""
    from lit_unlearn.errors import RunFailed
    from lit_unlearn.fit import fit

    if rows(name):
        return
    method = "sae_unlearning" if name == "raw_unlearning" else name
    line = ["experiment=sae_unlearning/tofu", f"method={method}", f"run_dir={RUNS / name}", *overrides]
    if method != "sae_unlearning":  # whose length is the experiment's
        line.append("trainer.max_epochs=2")
    RUNS.mkdir(parents=True, exist_ok=True)
    with (RUNS / f"{name}.log").open("w") as log, contextlib.redirect_stdout(log):
        try:
            fit([*line, *SETTINGS[name]])
        except RunFailed as error:  # diverged: an outcome, too
            print(error)


def cell(value: float | None) -> str:
    """A number as the table has it."""
    return "" if value is None else f"{value:.4f}"


def lines(names: list[str]) -> list[list[str]]:
    """The table: a head, the untouched model, the reference, and what is finished."""
    done = {name: rows(name) for name in names if rows(name)}
    found = [["method", *COLUMNS, "steps", "seconds"]]
    if not done:
        return found
    for label, which in (("untouched", "before"), ("never knew them", "reference")):
        values = [
            next((own[c][which] for own in done.values() if own.get(c, {}).get(which) is not None), None)
            for c in COLUMNS.values()
        ]
        found.append([label, *map(cell, values), "", ""])
    for name, own in done.items():
        cost = json.loads((RUNS / name / "report.json").read_text())["cost"]
        values = [own.get(column, {}).get("value") for column in COLUMNS.values()]
        found.append([name, *map(cell, values), str(cost["steps"]), f"{cost['fit_seconds']:.0f}"])
    return found


def main(arguments: list[str]) -> None:
    overrides = [word for word in arguments if "=" in word]
    names = [word for word in arguments if "=" not in word] or list(SETTINGS)
    unknown = [name for name in names if name not in SETTINGS]
    if unknown or not any(word.startswith("data_root=") for word in overrides):
        raise SystemExit(f"usage: tofu_table.py data_root=PATH [METHOD ...]; methods: {', '.join(SETTINGS)}")
    for name in tqdm(names):
        execute(name, overrides)
    table = lines(list(SETTINGS))
    RESULT.parent.mkdir(exist_ok=True)
    with RESULT.open("w", newline="") as file:
        csv.writer(file).writerows(table)
    print("\n".join("| " + " | ".join(line) + " |" for line in table))


if __name__ == "__main__":
    main(sys.argv[1:])
