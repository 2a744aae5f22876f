"""The README.md beside an exported model: what was done to it, and what was measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_unlearn.report import Report, write_atomically


def write_model_card(folder: Path, report: Report, config: dict[str, Any], forgotten: Sequence[str]) -> None:
    """Writes <folder>/README.md in the form of the Hugging Face hub: a head in YAML, then text.

    Args:
        folder: of the export.
        report: of the run that made it.
        config: the run's resolved configuration.
        forgotten: names of what the model was to forget; empty where it was to forget nothing.
    """
    head = {"library_name": "lit_unlearn", "tags": ["unlearning", report.method] if forgotten else [report.method]}
    base = config["model"].get("path")
    said = [f"Made by `python -m lit_unlearn.fit experiment={report.experiment} seed={report.seed}`."]
    if base:
        said.append(f"The untouched model is `{base}`.")
    if forgotten:
        said.append(f"Forgotten with the method `{report.method}`: {', '.join(forgotten)}.")
    lines = ["---", yaml.safe_dump(head, sort_keys=False).strip(), "---", "", " ".join(said), ""]
    write_atomically(folder / "README.md", "\n".join(lines) + "\n" + report.to_markdown())
