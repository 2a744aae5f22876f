"""LOE: Deep SVDD that guesses during training which unlabeled items are anomalies, and pushes those away.

Qiu et al., "Latent Outlier Exposure for Anomaly Detection with Contaminated Data", ICML 2022, arXiv 2202.08088.

Idea: weights and labels are fitted in turns. With the weights held, the share alpha of the batch that looks most
abnormal counts as anomalous (hard) or as undecided (soft); with these labels held, the weights take a step.
Labelled anomalies are not used.

Equations implemented: (1) to (3) of `lit_unlearn.losses.outlier_exposure`, with l_n = d(x) = ||f(x) - c||^2 and
l_a = 1 / (d + eps); the labels are those of each minibatch. The first epochs take every item as normal.

Reconstructed: the paper has other base losses; l_a = 1/d as the counterpart of d is inferred from Deep SAD. What base
loss LOE has in the comparisons of arXiv 2405.18929 is not known.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits method=loe
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.outlier_exposure import Assignment, exposure, latent_labels
from lit_unlearn.losses.pu import positive_inverse
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.anomaly.base import CentredDetector
from lit_unlearn.methods.anomaly.pu import Contamination


class LOE(Contamination, CentredDetector):
    """Deep SVDD under latent outlier exposure.

    Args:
        assignment: `hard`: an item that looks abnormal takes l_a; `soft`: it takes (l_n + l_a) / 2.
        warmup_epochs: epochs in which every item takes l_n.
        others: see `Contamination` and `CentredDetector`.
    """

    def __init__(self, assignment: Assignment = "soft", warmup_epochs: Annotated[int, Field(ge=0)] = 2, **others):
        super().__init__(**others)
        self.assignment: Assignment = assignment
        self.warmup_epochs = warmup_epochs

    def objective(self, batch: PUBatch) -> Tensor:
        as_normal = self.loss(batch.unlabeled)
        if self.current_epoch < self.warmup_epochs:
            return batch_mean(as_normal)
        as_anomalous = positive_inverse(as_normal)
        labels = latent_labels(as_normal, as_anomalous, float(self.alpha), self.assignment)
        return batch_mean(exposure(as_normal, as_anomalous, labels))
