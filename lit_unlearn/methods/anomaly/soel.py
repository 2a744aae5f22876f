"""SOEL: latent outlier exposure on the unlabeled items beside the loss of the labelled ones.

Li et al., "Deep Anomaly Detection under Labeling Budget Constraints", ICML 2023, arXiv 2302.07832.

Idea: a few labels are used as they are; the labels of all other items are guessed as in LOE (soft), so that the hidden
anomalies among them do less harm.

Equations implemented: the labelled term, numbered here, (1) mean over labelled items of (1 - y) l_n + y l_a, plus the
mean over unlabeled items of (1) under (3) of `lit_unlearn.losses.outlier_exposure`, with l_n = d(x) = ||f(x) - c||^2
and l_a = 1 / (d + eps).

Deviations: the paper's rule for which items to have labelled is not here, since labels are given; all of them are
anomalies, so that (1) is the mean of l_a; alpha is given or estimated as for the other methods, not by the paper's
importance weights of the queried items; both terms are added in one step (a released variant takes two); LOE's first
epochs without guesses are kept, the labelled term being there from the start.
Reconstructed: l_a = 1/d as the counterpart of d, and the base loss that SOEL has in arXiv 2405.18929.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits method=soel
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.outlier_exposure import exposure, latent_labels
from lit_unlearn.losses.pu import positive_inverse
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.anomaly.base import CentredDetector
from lit_unlearn.methods.anomaly.pu import Contamination


class SOEL(Contamination, CentredDetector):
    """Deep SVDD under latent outlier exposure, with labelled anomalies.

    Args:
        warmup_epochs: epochs in which every unlabeled item takes l_n.
        others: see `Contamination` and `CentredDetector`.
    """

    def __init__(self, warmup_epochs: Annotated[int, Field(ge=0)] = 2, **others):
        super().__init__(**others)
        self.warmup_epochs = warmup_epochs

    def objective(self, batch: PUBatch) -> Tensor:
        as_normal, labelled = self.losses(batch)
        known = batch_mean(positive_inverse(labelled))
        if self.current_epoch < self.warmup_epochs:
            return known + batch_mean(as_normal)
        as_anomalous = positive_inverse(as_normal)
        labels = latent_labels(as_normal, as_anomalous, float(self.alpha), "soft")
        return known + batch_mean(exposure(as_normal, as_anomalous, labels))
