"""PUSVDD: Deep SVDD trained from contaminated data with a few labelled anomalies.

Takahashi et al., "Positive-Unlabeled ... Anomaly Detection", arXiv 2405.18929 (v2, 2025).

Idea: unlabeled data hold anomalies, so pulling all of them towards the centre also pulls the anomalies. The risk on
normal items can be written with what is there, (1 - a) E_N = E_U - a E_A, and the labelled anomalies are pushed away.

Equations implemented: the PU risk with the absolute value, (4) of `lit_unlearn.losses.pu`, with l(x, 0) = d(x) =
||f(x) - c||^2 and l(x, 1) = 1/(d + eps) (`inverse`) or -log(1 - exp(-d)) (`bce`).

Reconstructed: the paper's text was not available. The objective is known from secondary accounts; the pair of losses
is inferred from the name "SAD-type"; that the centre is computed on unlabeled items is our choice.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.losses.pu import positive_bce, positive_inverse
from lit_unlearn.methods.anomaly.base import CentredDetector
from lit_unlearn.methods.anomaly.pu import PURisk


class PUSVDD(PURisk, CentredDetector):
    """Deep SVDD under the positive-unlabeled risk.

    Args:
        positive_loss: loss of a labelled anomaly at distance d: `inverse` 1/(d + eps) or `bce` -log(1 - exp(-d)).
        loss_scale: factor on d in both losses; the scale decides where the slope of `bce` lives.
        others: see `PURisk` and `CentredDetector`.
    """

    def __init__(
        self,
        positive_loss: Literal["inverse", "bce"] = "inverse",
        loss_scale: Annotated[float, Field(gt=0)] = 1.0,
        **others,
    ):
        super().__init__(**others)
        self.positive_loss, self.loss_scale = positive_loss, loss_scale

    def objective(self, batch: PUBatch) -> Tensor:
        unlabeled, labelled = (self.loss_scale * d for d in self.losses(batch))
        away = positive_inverse(labelled) if self.positive_loss == "inverse" else positive_bce(labelled)
        return self.risk(unlabeled, labelled, away)
