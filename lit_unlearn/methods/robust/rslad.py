"""RSLAD: no hard labels at all; the teacher's soft ones in the attack and on both inputs.

Zi et al., "Revisiting Adversarial Robustness Distillation: Robust Soft Labels Make Student Better", ICCV 2021, arXiv
2108.07969.

Implemented, as in the authors' code: x~ raises KL(T(x) -> S(x~)) from 0.001 standard normal noise, the student in eval
mode; L = 5/6 KL(T(x) -> S(x~)) + 1/6 KL(T(x) -> S(x)) with the elementwise mean, K times smaller than the sum over the
classes (the authors multiply by 10 on CIFAR-100).

Deviation: `reduction: sum` is the default, so that the learning rate means what it means for the other methods; `mean`
is the authors'.

Command: python -m lit_unlearn.fit experiment=ardir/digits method=rslad
"""

from typing import Any

from lit_unlearn.attacks.ball import Start
from lit_unlearn.losses.distillation import Reduction
from lit_unlearn.methods.robust.distillation import InnerLoss, Share, Student


class Rslad(Student):
    """5/6 KL(T(x) -> S(x~)) + 1/6 KL(T(x) -> S(x)).

    Args:
        adversarial_weight: 5/6; the rest is for the clean pictures.
        reduction: over the classes.
        inner_loss, attack_start, others: see `Student`.
    """

    def __init__(
        self,
        adversarial_weight: Share = 5 / 6,
        reduction: Reduction = "sum",
        inner_loss: InnerLoss = "kl_teacher",
        attack_start: Start = "gaussian",
        **others: Any,
    ):
        super().__init__(inner_loss=inner_loss, attack_start=attack_start, **others)
        self.reduction = reduction
        self.weights = {"teacher": adversarial_weight, "teacher_on_clean": 1 - adversarial_weight}
