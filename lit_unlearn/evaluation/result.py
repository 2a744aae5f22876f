"""What an evaluation suite hands back, the same for every domain."""

from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from lit_unlearn.report import Row, Table, write_atomically


@dataclass(frozen=True)
class Evaluation:
    """Rows for the report, and what to look at.

    Attributes:
        rows: see `lit_unlearn.report.Row`.
        notes: lines for the report: reasons for absent metrics, how intervals were made.
        figures: pictures by name.
        histograms: arrays of numbers by name.
        pr_curves: by name, (N,) bool truths and (N,) scores in [0, 1].
        embeddings: by name, (N, d) points and N labels, for TensorBoard's projector.
        pages: by name, pages that a browser shows without a network.
        tables: what is told in words and numbers together, for the report.
    """

    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    histograms: dict[str, NDArray] = field(default_factory=dict)
    pr_curves: dict[str, tuple[NDArray, NDArray]] = field(default_factory=dict)
    embeddings: dict[str, tuple[NDArray, list[str]]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    def write_figures(self, folder: Path) -> None:
        """Writes each figure as <folder>/<name>.png, each page as <name>.html; the folder is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in self.figures.items():
            figure.savefig(folder / f"{name}.png", dpi=120)
        for name, page in self.pages.items():
            write_atomically(folder / f"{name}.html", page)

    def log(self, writer: SummaryWriter, step: int) -> None:
        """Logs all but the rows and the notes, which go there with the report, to TensorBoard."""
        for name, figure in self.figures.items():
            writer.add_figure(f"figures/{name}", figure, step, close=False)
        for name, values in self.histograms.items():
            writer.add_histogram(name, values, step)
        for name, (truth, scores) in self.pr_curves.items():
            writer.add_pr_curve(name, truth, scores, step)
        for name, (points, labels) in self.embeddings.items():
            writer.add_embedding(points, labels, global_step=step, tag=name)
        for table in self.tables:
            writer.add_text(f"tables/{table.title.partition(':')[0]}", "\n".join(table.to_markdown()), step)
