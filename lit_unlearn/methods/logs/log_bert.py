"""LogBERT: masked prediction and a hypersphere, judged by how many tokens are not among the likely ones.

Guo, Yuan, Wu, "LogBERT: Log Anomaly Detection via BERT", IJCNN 2021.

Idea: a masked model of normal logs, whose summary of a line is drawn to the centre of a sphere. What is not among the
g most likely tokens of its place is a miss; many misses are an anomaly.

Equations implemented, with h the representation of the first token:

    (1)  L = L_MLKP + alpha L_VHM
    (2)  L_MLKP = E[ -log p(x_i | x_masked) ]                     (1) of `lit_unlearn.losses.replaced_tokens`
    (3)  L_VHM = E[ ||h - c||^2 ], c the mean of the h of the batch
    (4)  score(x) = (1/N) sum_i 1( x_i not among the g most likely given the others )

Deviations: LogBERT reads sequences of parsed log keys, here the tokens of one line; each token is masked by itself in
scoring, where LogBERT masks a random share; the centre is the batch's, not the running mean of an epoch; the score is
the share of misses instead of a verdict at a number of them.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=log_bert
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.logs.batches import LineBatch
from lit_unlearn.losses.reduction import all_reduce_sum, batch_mean
from lit_unlearn.methods.logs.masked_model import MaskedModel


class LogBERT(MaskedModel):
    """LogBERT on the tokens of single lines.

    Args:
        candidates: g, tokens that count as likely.
        sphere_weight: alpha.
        others: see `MaskedModel`.
    """

    def __init__(
        self,
        candidates: Annotated[int, Field(ge=1)] = 15,
        sphere_weight: Annotated[float, Field(ge=0)] = 0.1,
        **others,
    ):
        super().__init__(**others)
        self.candidates, self.sphere_weight = candidates, sphere_weight

    def objective(self, batch: LineBatch) -> Tensor:
        """Equation (1) of the unlabeled lines."""
        prediction_loss, first = self.predict_masked(batch)
        total = all_reduce_sum(torch.cat([first.sum(0), first.new_tensor([float(len(first))])]))  # of all processes
        sphere_loss = batch_mean((first - total[:-1] / total[-1]).square().sum(1))
        self.log_sometimes({"train/loss_prediction": prediction_loss, "train/loss_sphere": sphere_loss})
        return prediction_loss + self.sphere_weight * sphere_loss

    def surprise(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """(M,) summands of equation (4)."""
        own = logits.gather(1, tokens[:, None])
        return ((logits > own).sum(1) >= self.candidates).to(logits.dtype)
