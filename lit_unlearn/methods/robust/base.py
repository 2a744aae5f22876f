"""What every method of the domain shares: a classifier, its optimiser, validation under attack, averaged weights."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from datamodules.robust.batches import LabelledBatch
from lit_unlearn.attacks.ball import Ball, Norm, check_unit_range
from lit_unlearn.attacks.gradient import pgd_on_standing
from lit_unlearn.errors import UserError
from lit_unlearn.methods.schedule import num_steps, warm_up_and_cosine
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.networks.classifier import Classifier, ClassifierName
from lit_unlearn.networks.classifier_files import load_classifier, save_classifier
from lit_unlearn.networks.weight_average import AverageName, WeightAverage

NORMALISED_ALIKE = 0.02
"""Means and standard deviations of two random parts of a data set are closer than this."""


class RobustClassifier(SparseLogging):
    """A classifier that is trained to withstand attacks in a ball around each picture. A method is an `objective`.

    Validation logs `val/pgd_accuracy`, the share of held-out pictures that PGD leaves right, and `val/clean_accuracy`;
    its random starts are the same each time. `val/selection` is the one of them by which the best checkpoint is
    chosen (`selected_by`). What is validated, evaluated and exported is `judged`.

    Args:
        input_shape, num_classes, mean, std, augment: come from the data.
        network: see `lit_unlearn.networks.classifier`; normalisation is its first layer.
        normalise: `data` takes mean and std of the training pictures, `none` leaves pictures in [0, 1] as they are,
            which weights published for robust networks often expect.
        pretrained: weights to start from, see `lit_unlearn.networks.classifier_files.load_classifier`; None is random.
        norm, eps: the ball that an attack may use, in units of [0, 1].
        attack_step, attack_steps: of PGD in training and validation.
        optimiser: SGD with Nesterov momentum 0.9, or Adam.
        learning_rate: of the optimiser, at its highest.
        weight_decay: of the optimiser (L2).
        schedule: `cosine` rises over the share `warm_up` of the steps and falls to 0 along a cosine (with a long rise,
            one cycle); `steps` divides by ten at the `milestones`.
        warm_up: share of the steps over which the learning rate of `cosine` rises.
        milestones: shares of the steps.
        average: `ema` or `swa` judges averaged weights instead of the last ones, see `weight_average`.
        average_decay: of `ema`, per step.
        average_from: share of the steps before the average begins.
    """

    selected_by: ClassVar[Literal["pgd_accuracy", "clean_accuracy"]] = "pgd_accuracy"

    def __init__(
        self,
        input_shape: list[int],
        num_classes: int,
        mean: list[float],
        std: list[float],
        augment: Literal["none", "crop_flip"] = "none",
        network: ClassifierName = "small_conv",
        normalise: Literal["data", "none"] = "data",
        pretrained: str | None = None,
        norm: Norm = "linf",
        eps: Annotated[float, Field(ge=0)] = 8 / 255,
        attack_step: Annotated[float, Field(gt=0)] = 2 / 255,
        attack_steps: Annotated[int, Field(ge=1)] = 10,
        optimiser: Literal["sgd", "adam"] = "sgd",
        learning_rate: Annotated[float, Field(gt=0)] = 0.1,
        weight_decay: Annotated[float, Field(ge=0)] = 2e-4,
        schedule: Literal["cosine", "steps"] = "cosine",
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05,
        milestones: list[Annotated[float, Field(gt=0, lt=1)]] | None = None,
        average: AverageName = "none",
        average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995,
        average_from: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        if normalise == "none":
            mean, std = [0.0] * len(mean), [1.0] * len(std)
        self.net = Classifier(network, input_shape, num_classes, mean, std)
        self.average = None if average == "none" else WeightAverage(self.net, average, average_decay)
        self.average_from, self.augment, self.pretrained = average_from, augment, pretrained
        self.ball, self.attack_step, self.attack_steps = Ball(norm, eps), attack_step, attack_steps
        self.optimiser, self.learning_rate, self.weight_decay = optimiser, learning_rate, weight_decay
        self.schedule, self.warm_up = schedule, warm_up
        self.milestones = [0.5, 0.75] if milestones is None else milestones
        self._validation: list[tuple[Tensor, Tensor]] = []

    @property
    def judged(self) -> Classifier:
        """The averaged network where the run averages and has begun to, else the trained one."""
        if self.average is not None and int(self.average.taken) > 0:
            return self.average.network  # type: ignore[return-value]
        return self.net

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, K) logits."""
        check_unit_range(x)
        return self.judged(x)

    def check(self, data: LightningDataModule) -> None:
        """Reads `pretrained`, before anything is written.

        Raises:
            UserError: it cannot be read, is of another network or takes pictures normalised otherwise.
        """
        if self.pretrained is not None:
            of = self.net.made_of
            start = load_classifier(
                self.pretrained, "method.pretrained", of["network"], of["input_shape"], of["num_classes"]
            )
            theirs, ours = ([*made["mean"], *made["std"]] for made in (start.made_of, of))
            if max(abs(a - b) for a, b in zip(theirs, ours, strict=True)) > NORMALISED_ALIKE:
                raise UserError(
                    f"method.pretrained={self.pretrained}: takes pictures with mean and std {theirs}, this network "
                    f"{ours}; give method.normalise=none where the former are 0 and 1, or weights made for these data"
                )
            self.net.body.load_state_dict(start.body.state_dict())

    def objective(self, batch: LabelledBatch) -> Tensor:
        """The () training objective of a batch; means are taken over all processes."""
        raise NotImplementedError

    def on_train_start(self) -> None:
        self.total_steps = num_steps(self.trainer)

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        loss = self.objective(LabelledBatch(augmented(batch.x) if self.augment == "crop_flip" else batch.x, batch.y))
        self.log_sometimes({"train/loss": loss}, prog_bar=True)
        return loss

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        starts = torch.Generator(batch.x.device).manual_seed(batch_idx)
        judged = self.judged
        left = pgd_on_standing(
            judged, batch.x, batch.y, self.ball, self.attack_step, self.attack_steps, generator=starts
        )
        self._validation.append((left.standing, judged(batch.x).argmax(1) == batch.y))

    def on_validation_epoch_end(self) -> None:
        standing, clean = (torch.cat(parts).float().mean() for parts in zip(*self._validation, strict=True))
        self._validation.clear()
        values = {"val/pgd_accuracy": standing, "val/clean_accuracy": clean}
        self.log_dict(values, prog_bar=True, sync_dist=True)
        self.log("val/selection", values[f"val/{self.selected_by}"], sync_dist=True)

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # FSDP2; a plain run keeps the network whole
            mesh = self.device_mesh["data_parallel"]
            torch.distributed.fsdp.fully_shard(self.net.body, mesh=mesh)
            if self.average is not None:
                torch.distributed.fsdp.fully_shard(self.average.network.body, mesh=mesh)  # type: ignore[arg-type]

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        super().optimizer_step(*arguments, **keywords)
        # Here and not at the batch's end: checkpoints are written there, before a module's own hook.
        if self.average is not None and self.global_step >= self.average_from * self.total_steps:
            self.average.take(self.net)

    def configure_optimizers(self) -> Any:
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        made: torch.optim.Optimizer
        if self.optimiser == "sgd":
            made = torch.optim.SGD(
                trained, lr=self.learning_rate, momentum=0.9, nesterov=True, weight_decay=self.weight_decay
            )
        else:
            made = torch.optim.Adam(trained, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        if self.schedule == "cosine":
            return warm_up_and_cosine(made, self.trainer, self.warm_up)
        drops = [share * num_steps(self.trainer) for share in self.milestones]
        stepped = torch.optim.lr_scheduler.LambdaLR(made, lambda step: 0.1 ** sum(step >= drop for drop in drops))
        return {"optimizer": made, "lr_scheduler": {"scheduler": stepped, "interval": "step"}}

    def export(self, folder: Path, data: LightningDataModule) -> None:
        """Writes the judged network as a folder that `load_classifier` reads: safetensors and json."""
        save_classifier(self.judged, folder)


def augmented(x: Tensor, padding: int = 4) -> Tensor:
    """Each picture shifted by up to `padding` pixels, with zeros beyond its edge, and mirrored with probability 1/2.

    Drawn in the training step, where the noise is a function of the step: a resumed run draws the same.
    """
    size, height, width = len(x), *x.shape[2:]
    padded = F.pad(x, (padding,) * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, size, 1), device=x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    mirrored = torch.rand(size, 1, device=x.device) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    which = torch.arange(size, device=x.device)[:, None, None]
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
