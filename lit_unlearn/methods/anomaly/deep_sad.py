"""Deep SAD: Deep SVDD that also pushes labelled anomalies away from the centre.

Ruff et al., "Deep Semi-Supervised Anomaly Detection", ICLR 2020, arXiv 1906.02694.

Idea: what is known is used with the sign it has. Unlabeled items are taken as normal and pulled towards the centre c
by their distance d(x) = ||f(x) - c||^2; labelled anomalies are pushed away by its inverse.

Equation implemented, numbered here: (1) the mean over all items of the batch of d for an unlabeled item and of
eta d^y for a labelled one, where y = -1 says anomaly; as in the authors' code, d^-1 is (d + 1e-6)^-1.

Deviations: there are no labelled normal items (y = +1) in the positive-unlabeled setting; a batch holds a set number
of labelled anomalies (`data.labelled_batch_size`) rather than a random share; what `deep_svdd` says of the centre and
of pretraining holds here.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits method=deep_sad
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.pu import positive_inverse
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.anomaly.base import CentredDetector


def deep_sad(unlabeled_distance: Tensor, labelled_distance: Tensor, eta: float) -> Tensor:
    """Eq. (1): d for unlabeled items, eta (d + 1e-6)^-1 for labelled anomalies, per sample.

    Args:
        unlabeled_distance, labelled_distance: (U,) and (A,) squared distances to the centre.
        eta: weight of a labelled item.

    Returns:
        (U + A,) losses, the unlabeled items first.
    """
    return torch.cat([unlabeled_distance, eta * positive_inverse(labelled_distance, eps=1e-6)])


class DeepSAD(CentredDetector):
    """Deep SAD, eq. (1).

    Args:
        eta: weight of a labelled anomaly against an unlabeled item.
        others: see `CentredDetector`.
    """

    def __init__(self, eta: Annotated[float, Field(ge=0)] = 1.0, **others):
        super().__init__(**others)
        self.eta = eta

    def objective(self, batch: PUBatch) -> Tensor:
        unlabeled, labelled = self.losses(batch)
        return batch_mean(deep_sad(unlabeled, labelled, self.eta))
