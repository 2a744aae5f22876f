"""What every log anomaly detector shares: a score a line, what held-out lines score, an optimiser."""

from typing import Annotated, Any

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from datamodules.logs.batches import LineBatch
from lit_unlearn.methods.schedule import warm_up_and_cosine
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.metrics.quantiles import weighted_quantiles


class LogDetector(LightningModule):
    """A module that scores log lines; the higher the score, the more abnormal the line.

    A subclass defines `line_scores`; one that can say which tokens are suspicious also defines `token_scores`.

    The scores of the held-out training lines, each as often as it occurs, are summed up in `unlabeled_quantiles` (their
    quantiles at 0, .001, ..., 1), so that a new score can be read as "more abnormal than so many of the lines trained
    on", and a threshold can be set without a label. They are taken at every validation.
    """

    unlabeled_quantiles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._held_out: list[tuple[Tensor, Tensor]] = []
        self.register_buffer("unlabeled_quantiles", torch.full((1001,), torch.nan))

    def line_scores(self, batch: LineBatch) -> Tensor:
        """(B,) scores of lines, higher for what is more abnormal."""
        raise NotImplementedError

    def predict_step(self, batch: LineBatch, batch_idx: int) -> Tensor:
        return self.line_scores(batch)

    def validation_step(self, batch: LineBatch, batch_idx: int) -> None:
        self._held_out.append((self.line_scores(batch), batch.counts))

    def on_validation_epoch_end(self) -> None:
        scores, counts = (torch.cat(parts) for parts in zip(*self._held_out, strict=True))
        self._held_out.clear()
        self.log("val/score", (scores * counts).sum() / counts.sum(), sync_dist=True)
        self.unlabeled_quantiles.copy_(weighted_quantiles(scores.float(), counts, len(self.unlabeled_quantiles)))


class NetworkLogDetector(SparseLogging, LogDetector):
    """A `LogDetector` trained with AdamW, its learning rate rising over the first steps and falling to 0 at the end.

    Args:
        learning_rate: the highest.
        weight_decay: of AdamW.
        warm_up: share of the steps over which the rate rises.
    """

    def __init__(
        self,
        learning_rate: Annotated[float, Field(gt=0)] = 5e-4,
        weight_decay: Annotated[float, Field(ge=0)] = 0.01,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05,
    ):
        super().__init__()
        self.learning_rate, self.weight_decay, self.warm_up = learning_rate, weight_decay, warm_up

    def objective(self, batch: LineBatch) -> Tensor:
        """The () training objective of a batch; means are taken over all processes."""
        raise NotImplementedError

    def training_step(self, batch: LineBatch, batch_idx: int) -> Tensor:
        loss = self.objective(batch)
        self.log_sometimes({"train/loss": loss}, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        return warm_up_and_cosine(optimiser, self.trainer, self.warm_up)

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # FSDP2
            for network in self.children():
                torch.distributed.fsdp.fully_shard(network, mesh=self.device_mesh["data_parallel"])  # type: ignore[arg-type]


class FittedLogDetector(LogDetector):
    """A `LogDetector` without a gradient: it is fitted to the training lines as a whole, and the run ends.

    A subclass defines `fit_lines` and keeps what it fits in buffers or in its extra state (tensors and plain values).
    """

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.step = torch.nn.Parameter(torch.zeros(1))  # an optimiser and DDP want one; it stays as it is

    def fit_lines(self, text: list[str], count: NDArray[np.int64]) -> None:
        """Fits the detector.

        Args:
            text: the distinct preprocessed training lines.
            count: how often each occurs.
        """
        raise NotImplementedError

    def on_train_start(self) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        distinct, count = np.unique(data.line[data.train], return_counts=True)
        self.fit_lines([data.texts[i] for i in distinct], count)

    def training_step(self, batch: LineBatch, batch_idx: int) -> None:
        # A step without gradients, which changes nothing: Lightning saves no checkpoint of a run without a step.
        self.optimizers().step()  # type: ignore[union-attr]
        self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.step], lr=0.0)
