"""PUAE: an autoencoder trained from contaminated data with a few labelled anomalies.

Takahashi et al., "Positive-Unlabeled ... Anomaly Detection", arXiv 2405.18929 (v1, 2024).

Idea: read exp(-l) of the reconstruction error l as the probability of "normal" (ABC), and train the classifier that
this makes with the positive-unlabeled risk: normal items are reconstructed, anomalies are not.

Equations implemented: (1), (2) and (4) of `lit_unlearn.losses.pu`, with l(x) = loss_scale ||x - D(E(x))||^2.

Reconstructed: the paper's text was not available. Objective and test score are known from secondary accounts; whether
the error is summed or averaged over pixels is not (here: averaged, since a sum has no slope left in (2)).

Command: python -m lit_unlearn.fit experiment=pu_autoencoder/digits
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.pu import positive_bce
from lit_unlearn.methods.anomaly.base import ReconstructionDetector
from lit_unlearn.methods.anomaly.pu import PURisk


class PUAE(PURisk, ReconstructionDetector):
    """An autoencoder under the positive-unlabeled risk.

    Args:
        loss_scale: factor on the reconstruction error; the scale decides where the slope of (2) lives.
        others: see `PURisk` and `ReconstructionDetector`.
    """

    def __init__(self, loss_scale: Annotated[float, Field(gt=0)] = 1.0, **others):
        super().__init__(**others)
        self.loss_scale = loss_scale

    def objective(self, batch: PUBatch) -> Tensor:
        unlabeled, labelled = (self.loss_scale * error for error in self.losses(batch))
        return self.risk(unlabeled, labelled, positive_bce(labelled))
