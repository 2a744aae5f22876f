"""What a run measured: rows, and what they cost, as report.json, report.md, TensorBoard and a table in the terminal.

report.json is an interface. Fields are always all there, in the order of the dataclasses below, null where there is
nothing to say: names may be added, never renamed. Its presence marks a finished run, so it is written last.
"""

import importlib.metadata
import json
import math
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TextIO

import torch
from lightning.pytorch.loggers import TensorBoardLogger

import lit_unlearn

REPORTED_PACKAGES = (
    *("torch", "lightning", "torchmetrics", "numpy", "scipy", "scikit-learn", "hydra-core", "safetensors"),
    *("transformers", "diffusers", "sae-lens", "transformer-lens", "networkx"),
)


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        suite, split, metric: its name; together unique in a report.
        value: the number. Never NaN or infinite: a metric that could not be measured has no row but a note.
        n: items it was measured on.
        ci95: 95 % interval of the value; None where none was computed.
        better: whether a higher or a lower value is better, or one close to `target` is.
        target: the value aimed at; None where there is none (with better `target`: a plain fact).
        before: the same number for the model before the method was applied.
        reference: the same number for a model that never knew the target.

    Raises:
        ValueError: a number is NaN or infinite.
    """

    suite: str
    split: str
    metric: str
    value: float
    n: int
    ci95: tuple[float, float] | None
    better: Literal["higher", "lower", "target"]
    target: float | None = None
    before: float | None = None
    reference: float | None = None

    @property
    def name(self) -> str:
        return f"{self.suite}/{self.metric}/{self.split}"

    def __post_init__(self):
        numbers = {"value": self.value, "target": self.target, "before": self.before, "reference": self.reference}
        numbers |= dict(zip(("ci95 low", "ci95 high"), self.ci95 or (), strict=False))
        for field_name, number in numbers.items():
            if number is not None and not math.isfinite(number):
                raise ValueError(f"row {self.name}: {field_name} is {number}; leave the row out and give the reason")


@dataclass(frozen=True)
class Table:
    """What rows cannot say: words and numbers line by line.

    Attributes:
        title: what is told.
        head: of the columns.
        lines: one cell a column.
    """

    title: str
    head: list[str]
    lines: list[list[str | float]]

    def to_markdown(self) -> list[str]:
        return _markdown_table([self.head, *([_cell(cell) for cell in line] for line in self.lines)])


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        fit_seconds: wall time of fitting, over all starts of a resumed run.
        steps: optimiser steps.
        peak_rss_mib: most resident memory of the main process, in MiB.
        peak_gpu_mib: most memory allocated on the first GPU, in MiB; 0 without one.
    """

    fit_seconds: float
    steps: int
    peak_rss_mib: float
    peak_gpu_mib: float


@dataclass(frozen=True)
class Report:
    """A finished run.

    Attributes:
        experiment, method, data: their names.
        seed: of the run.
        config_sha: hash of the resolved configuration, as far as it decides the result.
        versions, hardware: see `versions` and `hardware`.
        cost: see `Cost`.
        rows: in the order in which they are shown.
        notes: what a reader must know: reconstructed methods, reasons for absent metrics, how intervals were made.
        tables: see `Table`.
    """

    experiment: str
    method: str
    data: str
    seed: int
    config_sha: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    cost: Cost
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = json.loads(text)
        rows = [Row(**row | {"ci95": row["ci95"] and tuple(row["ci95"])}) for row in fields["rows"]]
        tables = [Table(**table) for table in fields.get("tables", [])]  # absent in reports of version 0.1.0
        return cls(**fields | {"cost": Cost(**fields["cost"]), "rows": rows, "tables": tables})

    def to_markdown(self) -> str:
        cost = self.cost
        lines = [
            f"# {self.experiment}, seed {self.seed}",
            "",
            f"Method `{self.method}` on data `{self.data}`: {cost.steps} steps in {cost.fit_seconds:.1f} s, "
            f"{cost.peak_rss_mib:.0f} MiB of memory, {cost.peak_gpu_mib:.0f} MiB of GPU memory.",
            "",
            *_markdown_table(_table(self.rows)),
            "",
            *(f"- {note}" for note in self.notes),
            *([""] if self.notes else []),
            *(line for table in self.tables for line in (f"## {table.title}", "", *table.to_markdown(), "")),
            f"Versions: {', '.join(f'{name} {version}' for name, version in self.versions.items())}.",
            "",
            f"Hardware: {', '.join(f'{name} {_joined(value)}' for name, value in self.hardware.items())}.",
            "",
            f"Configuration: `config.yaml`, hash `{self.config_sha}`.",
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Writes report.md, then report.json, into an existing folder; each is there whole or not at all."""
        write_atomically(Path(folder, "report.md"), self.to_markdown())
        write_atomically(Path(folder, "report.json"), self.to_json())


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that a crash or a full disk leaves the old file or the new one, never a part."""
    with atomic_file(path) as file:
        file.write(text)


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name when it is whole, at the end of the block; an error leaves what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that decide its numbers, as far as they are installed."""
    found = {"python": platform.python_version(), "lit_unlearn": lit_unlearn.__version__}
    for package in REPORTED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, its cores, the threads in use, memory in GiB, and the names of the GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory, 1),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def reconstruction(method: type) -> list[str]:
    """A note with what the method's module says after "Reconstructed:", if it says so."""
    text = sys.modules[method.__module__].__doc__ or ""
    found = re.search(r"^Reconstructed: (.+?)(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return [f"the method is a reconstruction: {' '.join(found[1].split())}"] if found else []


def peak_memory() -> dict[str, float]:
    """`peak_rss_mib` and `peak_gpu_mib` of this process so far, as fields for `Cost`."""
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {"peak_rss_mib": round(_peak_rss_mib(), 1), "peak_gpu_mib": round(gpu / 2**20, 1)}


def log_to_tensorboard(logger: TensorBoardLogger, report: Report, config: Mapping[str, Any]) -> None:
    """Logs each row as the scalar report/<suite>/<metric>/<split>, and config with these as hparams.

    Args:
        config: the resolved configuration; nested keys are joined with slashes.
    """
    logger.log_hyperparams(dict(config), {f"report/{row.name}": row.value for row in report.rows}, report.cost.steps)


ROWS_SHOWN = 24
"""Rows of a report that are printed; a suite puts what matters most first, and report.md has them all."""


def summary(report: Report) -> str:
    """The first rows as a plain table for the terminal, between a line on the run and the notes."""
    cost = report.cost
    head = f"{report.experiment}, seed {report.seed}: {cost.steps} steps in {cost.fit_seconds:.1f} s"
    hidden = len(report.rows) - ROWS_SHOWN
    more = [f"... and {hidden} more rows in report.md"] if hidden > 0 else []
    notes = [f"note: {note}" for note in report.notes]
    return "\n".join([head, "", plain_table(report.rows[:ROWS_SHOWN]), *more, "", *notes]).rstrip()


def plain_table(rows: list[Row]) -> str:
    """Rows as aligned text."""
    cells = _table(rows)
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _table(rows: list[Row]) -> list[list[str]]:
    """A head and a line a row, as text; columns that no row fills are left out."""
    head = ["suite", "metric", "split", "value", "95 % interval", "before", "reference", "n", "better"]
    lines = [
        [
            *(row.suite, row.metric, row.split, _number(row.value)),
            "" if row.ci95 is None else f"{_number(row.ci95[0])} to {_number(row.ci95[1])}",
            *("" if number is None else _number(number) for number in (row.before, row.reference)),
            str(row.n),
            _aim(row),
        ]
        for row in rows
    ]
    filled = [i for i in range(len(head)) if any(line[i] for line in lines)]
    return [[line[i] for i in filled] for line in [head, *lines]]


def _markdown_table(cells: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(line)} |" for line in cells]
    return [lines[0], "|" + "---|" * len(cells[0]), *lines[1:]]


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    if abs(value) > 1 and value == round(value):
        return f"{value:.0f}"
    if 0 < abs(value) < 1e-3 or abs(value) >= 1e6:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _aim(row: Row) -> str:
    if row.better != "target":
        return row.better
    return "" if row.target is None else f"target {_number(row.target)}"


def _joined(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")  # platform.processor() is empty or only the architecture on most Linux systems
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _peak_rss_mib() -> float:
    status = Path("/proc/self/status")  # getrusage would also count the parent's memory before an exec
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**10
    import resource  # absent on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
