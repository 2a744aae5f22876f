"""What every anomaly detector shares: a score, validation on what a user knows, an optimiser, FSDP2."""

import math
from typing import Annotated

import torch
from lightning import LightningModule
from pydantic import Field
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

from datamodules.anomaly.batches import EvaluationBatch, PUBatch
from lit_unlearn.errors import UserError
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.networks.anomaly_losses import CentreDistance, ReconstructionError, Reduction
from lit_unlearn.networks.encoders import NetworkName


class AnomalyDetector(LightningModule):
    """A module `loss` that scores items; the higher the score, the more abnormal the item.

    A subclass builds `self.loss`, a module from (B, *input_shape) to (B,).
    Validation logs `val/auroc`: held-out labelled anomalies against held-out unlabeled items. With a share c of
    anomalies among the latter it is (1 - c) AUROC + c / 2, so its order is that of the true AUROC, and it needs no
    label that the user does not have. The percentiles of the scores of the held-out unlabeled items are kept in
    `unlabeled_quantiles`, so that a new score can be read as "more abnormal than so many per cent of the data".
    """

    loss: nn.Module
    unlabeled_quantiles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._validation: list[tuple[Tensor, Tensor]] = []
        self.register_buffer("unlabeled_quantiles", torch.full((101,), math.nan))

    def anomaly_score(self, x: Tensor) -> Tensor:
        """(B, *input_shape) float32 to (B,) scores, higher for what is more abnormal."""
        return self.loss(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.anomaly_score(x)

    def validation_step(self, batch: EvaluationBatch, batch_idx: int) -> None:
        self._validation.append((self.anomaly_score(batch.x), batch.kind))

    def on_validation_epoch_end(self) -> None:
        scores, labels = (torch.cat(parts) for parts in zip(*self._validation, strict=True))
        self._validation.clear()
        # Ranks, because torchmetrics squashes anything outside [0, 1] with a sigmoid and so makes ties.
        ranks = torch.unique(scores, return_inverse=True)[1].double() / len(scores)
        self.log("val/auroc", binary_auroc(ranks, labels).float(), prog_bar=True, sync_dist=True)
        percent = torch.linspace(0, 1, 101, device=scores.device)
        self.unlabeled_quantiles.copy_(torch.quantile(scores[labels == 0].float(), percent))

    def predict_step(self, batch: EvaluationBatch, batch_idx: int) -> Tensor:
        return self.anomaly_score(batch.x)

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # FSDP2; a plain run keeps the network whole
            for network in self.loss.children():
                network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # it shards no other layout
                torch.distributed.fsdp.fully_shard(network, mesh=self.device_mesh["data_parallel"])


class NetworkDetector(SparseLogging, AnomalyDetector):
    """An `AnomalyDetector` whose `loss` holds networks, trained with Adam by an objective of the subclass.

    Args:
        learning_rate: of Adam.
        weight_decay: of Adam (L2).
    """

    def __init__(
        self,
        learning_rate: Annotated[float, Field(gt=0)] = 3e-4,
        weight_decay: Annotated[float, Field(ge=0)] = 1e-3,
    ):
        super().__init__()
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def objective(self, batch: PUBatch) -> Tensor:
        """The () training objective of a batch; means are taken over all processes."""
        raise NotImplementedError

    def losses(self, batch: PUBatch) -> tuple[Tensor, Tensor]:
        """Per-sample losses of the unlabeled items and of the labelled anomalies, from one pass through the network.

        One concatenated pass: with two, batch statistics differ between the parts and the methods break
        (AUROC .69 to .78 against .97 in a small trial).
        """
        losses = self.loss(torch.cat([batch.unlabeled, batch.labelled]))
        return losses[: len(batch.unlabeled)], losses[len(batch.unlabeled) :]

    def training_step(self, batch: PUBatch, batch_idx: int) -> Tensor:
        loss = self.objective(batch)
        self.log_sometimes({"train/loss": loss}, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)


class ReconstructionDetector(NetworkDetector):
    """A `NetworkDetector` whose loss is a reconstruction error.

    Args:
        input_shape: (C, H, W) or (F,); comes from the data.
        network: `auto`, `conv`, `lenet` or `mlp`, see `lit_unlearn.networks.encoders`.
        representation: length of the representation.
        reduction: mean or sum of the squared errors over the input's dimensions.
        optimiser: see `NetworkDetector`.
    """

    loss: ReconstructionError

    def __init__(
        self,
        input_shape: list[int],
        network: NetworkName = "auto",
        representation: Annotated[int, Field(ge=1)] = 64,
        reduction: Reduction = "mean",
        **optimiser,
    ):
        super().__init__(**optimiser)
        self.loss = ReconstructionError(input_shape, network, representation, reduction)


class CentredDetector(NetworkDetector):
    """A `NetworkDetector` whose loss is the distance to a centre, which is placed before the first step.

    Args:
        input_shape: (C, H, W) or (F,); comes from the data.
        network: `auto`, `conv`, `lenet` or `mlp`, see `lit_unlearn.networks.encoders`.
        representation: length of the representation.
        reduction: sum or mean of the squared differences over the representation's dimensions.
        pretrained: a checkpoint of an autoencoder with the same network; the weights of its encoder are copied before
            the centre is placed. None starts from random weights.
        optimiser: see `NetworkDetector`.
    """

    loss: CentreDistance

    def __init__(
        self,
        input_shape: list[int],
        network: NetworkName = "auto",
        representation: Annotated[int, Field(ge=1)] = 64,
        reduction: Reduction = "sum",
        pretrained: str | None = None,
        **optimiser,
    ):
        super().__init__(**optimiser)
        self.loss = CentreDistance(input_shape, network, representation, reduction)
        self.pretrained = pretrained

    def prepare_data(self) -> None:
        """Takes the weights of `pretrained`: before a run writes anything, and before FSDP shards the encoder."""
        if self.pretrained is not None and not self.loss.has_centre:  # a trained detector has one
            copy_encoder(self.pretrained, self.loss.encoder)

    def on_train_start(self) -> None:
        if not self.loss.has_centre:  # a resumed run brings its own
            self.loss.set_centre(self.trainer.datamodule.unlabeled)  # type: ignore[attr-defined]


def copy_encoder(checkpoint: str, encoder: nn.Module) -> None:
    """Copies `loss.encoder.*` of a checkpoint into an encoder; every key of both must match.

    Raises:
        UserError: the file is not a checkpoint, or its encoder has other keys or shapes.
    """
    try:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        prefix = "loss.encoder."
        encoder.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    except Exception as error:  # torch's reader raises anything on bytes that are not its own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"method.pretrained={checkpoint}: cannot take its encoder ({reason}); "
            "give a checkpoint of method=autoencoder trained with the same network, representation and data"
        ) from error
