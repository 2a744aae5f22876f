"""Fast adversarial training: one step from a random start instead of many.

Wong, Rice, Kolter, "Fast is better than free", ICLR 2020, arXiv 2001.03994.

Implemented: L = CE(S(x~), y) with x~ = x + u + 1.25 eps sign of the gradient of CE at x + u, u uniform in the ball,
clipped to the ball and to [0, 1] (FGSM-RS). A step costs two passes instead of eleven.

Deviation: the attack sees the network in eval mode. Known to collapse where eps is large (catastrophic overfitting):
PGD accuracy on the held-out pictures falls to 0 within an epoch; the best checkpoint is the one before.

Command: python -m lit_unlearn.fit experiment=ardir/digits method=fast_at
"""

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from datamodules.robust.batches import LabelledBatch
from lit_unlearn.attacks.gradient import pgd
from lit_unlearn.losses.distillation import cross_entropy
from lit_unlearn.methods.robust.distillation import Distillation


class FastAt(Distillation):
    """CE(S(x~), y) after one step.

    Args:
        step_ratio: length of the step, as a multiple of eps.
        others: see `Distillation`; `attack_step` and `attack_steps` are those of validation.
    """

    def __init__(self, step_ratio: Annotated[float, Field(gt=0)] = 1.25, **others: Any):
        super().__init__(**others)
        self.step_ratio = step_ratio
        self.weights = {"label_adversarial": 1.0}

    def attack(self, batch: LabelledBatch) -> Tensor:
        x, y = batch
        step = self.step_ratio * self.ball.eps
        return pgd(
            *(self.net, x, lambda logits: cross_entropy(logits, y), self.ball, step, 1),
            start=self.attack_start,
            mode=self.attack_mode,
        )
