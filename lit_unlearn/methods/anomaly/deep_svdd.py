"""Deep SVDD: pull every unlabeled item towards a centre.

Ruff et al., "Deep One-Class Classification", ICML 2018.

Idea: a network f maps items into a small sphere around a centre c; what lies far from it is abnormal. All unlabeled
items count as normal, labelled anomalies are not used.

Equations implemented: one-class objective, eq. (4): mean ||f(x) - c||^2 + weight decay; soft-boundary objective,
eq. (3), with the radius as a quantile of the batch's distances, as in the authors' code.

Deviations: the centre's coordinates that are exactly zero are moved too; the network, learning rate 3e-4 and weight
decay 1e-3 are those of all detectors here, not the paper's (LeNet, 1e-4, 5e-7); pretraining only with `pretrained`.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits method=deep_svdd
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.reduction import batch_mean, gather
from lit_unlearn.methods.anomaly.base import CentredDetector


def soft_boundary(distance: Tensor, radius: Tensor, nu: float) -> Tensor:
    """Eq. (3): R^2 + (1/nu) max(0, d - R^2), per sample.

    Args:
        distance: (B,) squared distances to the centre.
        radius: () R.
        nu: share of items allowed outside, in (0, 1].
    """
    return radius.square() + (distance - radius.square()).clamp_min(0) / nu


class DeepSVDD(CentredDetector):
    """Deep SVDD, eq. (4) or eq. (3).

    Args:
        boundary: `one_class` or `soft`.
        nu: share of items allowed outside the soft boundary.
        warmup_epochs: epochs with radius 0 before the soft boundary follows the distances.
        others: see `CentredDetector`.
    """

    radius: Tensor

    def __init__(
        self,
        boundary: Literal["one_class", "soft"] = "one_class",
        nu: Annotated[float, Field(gt=0, le=1)] = 0.1,
        warmup_epochs: Annotated[int, Field(ge=0)] = 10,
        **detector,
    ):
        super().__init__(**detector)
        self.boundary, self.nu, self.warmup_epochs = boundary, nu, warmup_epochs
        self.register_buffer("radius", torch.zeros(()))

    def objective(self, batch: PUBatch) -> Tensor:
        distance = self.loss(batch.unlabeled)
        if self.boundary == "one_class":
            return batch_mean(distance)
        if self.current_epoch >= self.warmup_epochs:
            self.radius.copy_(gather(distance)[0].sqrt().quantile(1 - self.nu))
        return batch_mean(soft_boundary(distance, self.radius, self.nu))
