"""nnPU: a binary classifier of anomalies against normal items, trained from anomalies and unlabeled items.

Kiryo et al., "Positive-Unlabeled Learning with Non-Negative Risk Estimator", NeurIPS 2017, arXiv 1703.00593.

Idea: the risk of a classifier on normal items can be written with what is there, (1 - a) E_N = E_U - a E_A. A flexible
network drives that estimate below zero; where it is below, only that part is stepped on, upwards.

Equations implemented: (3) and (6) of `lit_unlearn.losses.pu`, with the logit g(x), l(x, 1) = phi(g) and
l(x, 0) = phi(-g), where, numbered here, (1) phi(m) = 1 / (1 + exp(m)) (`sigmoid`, the paper's) or
(2) phi(m) = log(1 + exp(-m)) (`logistic`).

Deviations: the network is the encoder that the other methods have and a linear map; beta is 0 and gamma 1, as in the
authors' code; `correction=abs` gives the classifier the risk of PUSVDD and PUAE.
By design it learns the anomalies it has met: those of other kinds (unseen) it may well call normal.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits method=pu_classifier
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.pu import Correction
from lit_unlearn.methods.anomaly.base import NetworkDetector
from lit_unlearn.methods.anomaly.pu import PURisk
from lit_unlearn.networks.anomaly_losses import Logit
from lit_unlearn.networks.encoders import NetworkName

Surrogate = Literal["sigmoid", "logistic"]


def surrogate_loss(margin: Tensor, phi: Surrogate) -> Tensor:
    """Eq. (1) or (2): the loss of a margin, large where it is negative, per sample.

    Args:
        margin: (B,) logits of the class that is taken as true.
        phi: `sigmoid` or `logistic`.
    """
    return torch.sigmoid(-margin) if phi == "sigmoid" else softplus(-margin)


class PUClassifier(PURisk, NetworkDetector):
    """A binary classifier under the positive-unlabeled risk; the score is its logit.

    Args:
        input_shape: (C, H, W) or (F,); comes from the data.
        network: `auto`, `conv`, `lenet` or `mlp`, see `lit_unlearn.networks.encoders`.
        representation: length of the representation.
        phi: `sigmoid` or `logistic`.
        correction: see `PURisk`.
        others: see `PURisk` and `NetworkDetector`.
    """

    def __init__(
        self,
        input_shape: list[int],
        network: NetworkName = "auto",
        representation: Annotated[int, Field(ge=1)] = 64,
        phi: Surrogate = "sigmoid",
        correction: Correction = "nnpu",
        **others,
    ):
        super().__init__(correction=correction, **others)
        self.loss = Logit(input_shape, network, representation)
        self.phi: Surrogate = phi

    def objective(self, batch: PUBatch) -> Tensor:
        unlabeled, labelled = self.losses(batch)  # logits
        as_normal = surrogate_loss(-unlabeled, self.phi), surrogate_loss(-labelled, self.phi)
        return self.risk(*as_normal, surrogate_loss(labelled, self.phi))
