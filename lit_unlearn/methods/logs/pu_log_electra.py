"""PU LogELECTRA: LogELECTRA from contaminated lines, with some alerts that are known.

Our own extension: the positive-unlabeled risk of the anomaly domain (PUSVDD, arXiv 2405.18929) with LogELECTRA's line
score as its loss. It has no paper.

Idea: unlabeled lines hold alerts, and those that come often are learned as normal. The discriminator's score of the
unlabeled lines as they are is lowered, that of the known alerts raised, and what the alerts contribute to the former is
taken off.

Equations implemented, with s(x) the line score, (5) of `lit_unlearn.losses.replaced_tokens`:

    L = L_G + lambda L_D + w ( a E_A[1/(s + eps)] + | E_U[s] - a E_A[s] | )

L_G and L_D as in LogELECTRA on the unlabeled lines, the bracket (4) of `lit_unlearn.losses.pu`.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=pu_log_electra data.num_labelled=50
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.logs.batches import LineBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.pu import Correction, positive_inverse, pu_risk
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.logs.log_electra import LogElectra


class PULogElectra(LogElectra):
    """LogELECTRA under the positive-unlabeled risk.

    Args:
        num_labelled: labelled alerts there are; comes from the data.
        alpha: share of alerts among the unlabeled lines, in [0, 1).
        risk_weight: w.
        correction: of the bracket: `abs`, `clamp`, `nnpu` or `none`.
        eps: added to the score of a labelled alert before it is inverted; it bounds the push.
        others: see `LogElectra`.

    Raises:
        UserError: there are no labelled alerts.
    """

    def __init__(
        self,
        num_labelled: int,
        alpha: Annotated[float, Field(ge=0, lt=1)] = 0.01,
        risk_weight: Annotated[float, Field(ge=0)] = 10,
        correction: Correction = "abs",
        eps: Annotated[float, Field(gt=0)] = 0.1,
        **others,
    ):
        super().__init__(**others)
        if num_labelled == 0:
            raise UserError("data.num_labelled=0: pu_log_electra learns from labelled alerts; give at least 1")
        self.alpha, self.risk_weight, self.eps = alpha, risk_weight, eps
        self.correction: Correction = correction

    def objective(self, batch: LineBatch) -> Tensor:
        scores = self.line_scores(batch)
        unlabeled, labelled = scores[~batch.labelled], scores[batch.labelled]
        positive = positive_inverse(labelled, self.eps)
        risk = pu_risk(
            batch_mean(positive), batch_mean(unlabeled), batch_mean(labelled), self.alpha, correction=self.correction
        )
        self.log_sometimes({"train/risk": risk})
        return super().objective(batch) + self.risk_weight * risk
