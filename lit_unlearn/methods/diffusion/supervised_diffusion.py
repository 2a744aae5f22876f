"""Supervised diffusion: unlabeled pictures count as normal, labelled ones as sensitive.

The baseline of Takahashi et al., "Positive-Unlabeled Diffusion Models", ICLR 2025.

Equation implemented: mean_U l(x, 0) + w mean_S l(x, 1), with (1) of `lit_unlearn.losses.pu_diffusion`.

Reconstructed: the paper's text was not at hand; the weight w is unknown, 1 is our default.

Command: python -m lit_unlearn.fit experiment=pu_diffusion/digits method=supervised_diffusion
Expect: docs/diffusion.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.pu import positive_bce
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.base import Diffusion


class SupervisedDiffusion(Diffusion):
    """Sensitive pictures pushed away, unlabeled ones fitted.

    Args:
        sensitive_weight: w.
        scale: factor on the loss before it becomes a probability.
        others: see `Diffusion`.
    """

    def __init__(
        self,
        sensitive_weight: Annotated[float, Field(ge=0)] = 1.0,
        scale: Annotated[float, Field(gt=0)] = 1.0,
        **others,
    ):
        super().__init__(**others)
        self.sensitive_weight, self.scale = sensitive_weight, scale

    def objective(self, batch: DiffusionBatch) -> Tensor:
        unlabeled, labelled = (self.scale * found.losses.mean(0) for found in self.both(batch))
        away = batch_mean(positive_bce(labelled, least=1e-6))
        self.log_sometimes({"train/loss_unlabeled": batch_mean(unlabeled), "train/positive_term": away})
        return (batch_mean(unlabeled) + self.sensitive_weight * away) / self.scale
