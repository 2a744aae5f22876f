"""Filter, then train: a classifier throws out what looks sensitive, a plain diffusion model learns the rest.

Idea: the obvious alternative to a PU diffusion model. The filter is a small classifier trained on U and S under the
non-negative PU risk (Kiryo et al., NeurIPS 2017), which does not take U for normal; it drops the share beta of the
unlabeled pictures that it holds for most probably sensitive.

Equations implemented: (6) of `lit_unlearn.losses.pu` with the logistic loss for the filter; the mean over the pictures
kept of (3) of `lit_unlearn.losses.denoising`.

Command: python -m lit_unlearn.fit experiment=pu_diffusion/digits method=filtered_diffusion
Expect: docs/diffusion.md.
"""

import logging
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.pu import pu_risk
from lit_unlearn.losses.reduction import all_reduce_sum
from lit_unlearn.methods.diffusion.base import Diffusion
from lit_unlearn.networks.picture_classifier import PictureClassifier, in_batches, trained_classifier

log = logging.getLogger(__name__)


class FilteredDiffusion(Diffusion):
    """Plain diffusion on the unlabeled pictures that a filter keeps.

    Args:
        beta: share of the unlabeled pictures that is dropped.
        filter_steps: optimiser steps of the filter.
        others: see `Diffusion`.
    """

    threshold: Tensor

    def __init__(
        self,
        beta: Annotated[float, Field(ge=0, lt=1)] = 1 / 11,
        filter_steps: Annotated[int, Field(ge=1)] = 300,
        **others,
    ):
        super().__init__(**others)
        self.beta, self.filter_steps = beta, filter_steps
        self.filter = PictureClassifier(self.input_shape, 1).requires_grad_(False).eval()
        self.register_buffer("threshold", torch.tensor(float("nan")))

    def on_train_start(self) -> None:
        self.filter.eval()
        if not self.threshold.isnan():  # a resumed run brings its own
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        unlabeled, labelled = (pool.x for pool in data.pools)
        pictures = torch.cat([unlabeled, labelled.repeat(max(1, len(unlabeled) // len(labelled)), 1, 1, 1)])
        known = (torch.arange(len(pictures)) >= len(unlabeled)).long()
        trained = trained_classifier(pictures, known, 1, self.filter_steps, data.seed, self._filter_risk)
        self.filter.load_state_dict(trained.state_dict())
        scores = in_batches(trained, unlabeled).squeeze(1)
        self.threshold.copy_(torch.quantile(scores.double(), 1 - self.beta))
        log.info(
            f"filter: {int((scores > self.threshold.cpu()).sum())} of {len(scores)} unlabeled pictures are left out"
        )

    def _filter_risk(self, logits: Tensor, known: Tensor) -> Tensor:
        """The non-negative PU risk of a batch; `known` tells the labelled pictures."""
        logits, labelled = logits.squeeze(1), known.bool()
        if not labelled.any() or labelled.all():
            return logits.sum() * 0
        as_sensitive, as_normal = F.softplus(-logits[labelled]).mean(), F.softplus(logits[labelled]).mean()
        return pu_risk(as_sensitive, F.softplus(logits[~labelled]).mean(), as_normal, self.beta, "nnpu")

    def objective(self, batch: DiffusionBatch) -> Tensor:
        kept = (self.filter(batch.unlabeled).squeeze(1) <= self.threshold).float()
        losses = self.denoise(batch.unlabeled, batch.unlabeled_class).losses.mean(0)
        total, count = all_reduce_sum(torch.stack([(kept * losses).sum(), kept.sum()]))
        return total / count.clamp_min(1)
