"""ABC: an autoencoder that is a binary classifier of labelled anomalies against everything else.

Yamanaka et al., "Autoencoding Binary Classifiers for Supervised Anomaly Detection", PRICAI 2019, arXiv 1903.10709.

Idea: read exp(-l) of the reconstruction error l as the probability of "normal" and train with the cross entropy that
this makes: normal items are reconstructed, labelled anomalies are not, and neither are anomalies of other kinds, since
nothing asks for it. All unlabeled items count as normal.

Equations implemented: (1) and (2) of `lit_unlearn.losses.pu`, with l(x) = loss_scale ||x - D(E(x))||^2; numbered here,
(1) the mean of that cross entropy over all items of the batch.

Deviations: the idea is the paper's; the expression of (2) is known from an independent implementation, which averages
the error over the input's dimensions, as is the default here; a batch holds a set number of labelled anomalies
(`data.labelled_batch_size`) rather than a random share.

Command: python -m lit_unlearn.fit experiment=pu_autoencoder/digits method=abc
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.pu import positive_bce
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.anomaly.base import ReconstructionDetector


def cross_entropy(unlabeled_loss: Tensor, labelled_loss: Tensor) -> Tensor:
    """Eq. (1), per sample: l for unlabeled items, -log(1 - exp(-l)) for labelled anomalies.

    Args:
        unlabeled_loss, labelled_loss: (U,) and (A,) non-negative losses l.

    Returns:
        (U + A,) losses, the unlabeled items first.
    """
    return torch.cat([unlabeled_loss, positive_bce(labelled_loss)])


class AutoencodingBinaryClassifier(ReconstructionDetector):
    """An autoencoder trained as a classifier, eq. (1).

    Args:
        loss_scale: factor on the reconstruction error; the scale decides where the slope of -log(1 - exp(-l)) lives.
        others: see `ReconstructionDetector`.
    """

    def __init__(self, loss_scale: Annotated[float, Field(gt=0)] = 1.0, **others):
        super().__init__(**others)
        self.loss_scale = loss_scale

    def objective(self, batch: PUBatch) -> Tensor:
        unlabeled, labelled = (self.loss_scale * error for error in self.losses(batch))
        return batch_mean(cross_entropy(unlabeled, labelled))
