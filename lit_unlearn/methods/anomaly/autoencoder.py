"""Autoencoder: reconstruct every unlabeled item; what is reconstructed badly is abnormal.

The classical baseline (Hinton & Salakhutdinov 2006; Sakurada & Yairi 2014). All unlabeled items count as normal,
labelled anomalies are not used.

Equation implemented: mean ||x - D(E(x))||^2 over the unlabeled items.

Command: python -m lit_unlearn.fit experiment=pu_autoencoder/digits method=autoencoder
"""

from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.anomaly.base import ReconstructionDetector


class Autoencoder(ReconstructionDetector):
    """Mean reconstruction error of the unlabeled items. Arguments: see `ReconstructionDetector`."""

    def objective(self, batch: PUBatch) -> Tensor:
        return batch_mean(self.loss(batch.unlabeled))
