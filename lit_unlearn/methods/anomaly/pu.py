"""The part that PUSVDD, PUAE and the nnPU classifier share: the positive-unlabeled risk and its contamination."""

import logging
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from lit_unlearn.losses.pu import Correction, pu_risk
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.anomaly.base import NetworkDetector
from lit_unlearn.metrics.contamination import estimate_contamination

log = logging.getLogger(__name__)

Alpha = Annotated[float, Field(ge=0, lt=1)] | Literal["estimate"]


class Contamination(NetworkDetector):
    """Mix-in for detectors that use the share of anomalies among the unlabeled items.

    Args:
        alpha: that share, in [0, 1), or `estimate` to estimate it from the training data before the first step.
        others: of the next class.
    """

    alpha: Tensor

    def __init__(self, alpha: Alpha = 0.1, **others):
        super().__init__(**others)
        self.register_buffer("alpha", torch.tensor(float("nan") if alpha == "estimate" else alpha, dtype=torch.float64))

    def on_train_start(self) -> None:
        if self.alpha.isnan():  # a resumed run brings its own
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self.alpha.fill_(estimate_contamination(data.unlabeled.numpy(), data.labelled.numpy(), data.seed))
            log.info(f"estimated contamination: {self.alpha:.4f} of the unlabeled items are anomalies")
        super().on_train_start()


class PURisk(Contamination):
    """Mix-in that reduces per-sample losses to the PU objective.

    Args:
        correction: `abs`, `clamp`, `nnpu` or `none`, equations (3) to (6) of `lit_unlearn.losses.pu`.
        unlabeled_includes_labelled: take the unlabeled mean over U and A together, and the share of anomalies with it
            (`alpha` stays that of U); the paper's alpha of 0.1 suggests it, its text was not available.
        others: see `Contamination`.
    """

    def __init__(self, correction: Correction = "abs", unlabeled_includes_labelled: bool = False, **others):
        super().__init__(**others)
        self.correction: Correction = correction
        self.unlabeled_includes_labelled = unlabeled_includes_labelled

    def risk(self, unlabeled: Tensor, labelled: Tensor, positive: Tensor) -> Tensor:
        """The () objective from the (U,) and (A,) losses as "normal" and the (A,) losses as "anomalous"."""
        unlabeled_mean, labelled_mean = batch_mean(unlabeled), batch_mean(labelled)
        self.log_sometimes({"train/loss_unlabeled": unlabeled_mean, "train/loss_labelled": labelled_mean})
        mixture_mean, alpha = unlabeled_mean, self.alpha.to(labelled)
        if self.unlabeled_includes_labelled:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            share = len(data.labelled) / (len(data.unlabeled) + len(data.labelled))
            mixture_mean = (1 - share) * unlabeled_mean + share * labelled_mean
            alpha = (1 - share) * alpha + share
        return pu_risk(batch_mean(positive), mixture_mean, labelled_mean, alpha, self.correction)
