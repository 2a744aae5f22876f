"""IAD-II: the teacher's output, and the student's own clean output where the teacher cannot be trusted.

Zhu et al., "Reliable Adversarial Distillation with Unreliable Teachers", ICLR 2022, arXiv 2106.04928.

Idea: a robust teacher errs on pictures attacked for the student; A = p_y(T(x~))^b says how far it is to be trusted.
Implemented: L = A KL_t(T(x) -> S(x~)) + (1 - A) KL(S(x) -> S(x~)), with A = 1 over the first 0.3 of the
training steps (60 of 200 epochs in the released code), gradients through both sides of the second KL as there.

Reconstructed: that the teacher is shown the clean picture, as in IAD-I; b = 0.1 is that of IAD-I.

Deviation: the attack sees the student in eval mode (`attack_mode=train` for that of the released code).

Command: python -m lit_unlearn.fit experiment=ardir/digits method=iad_2
"""

from typing import Any

from lit_unlearn.methods.robust.iad_1 import Iad1


class Iad2(Iad1):
    """A KL_t(T(x) -> S(x~)) + (1 - A) KL(S(x) -> S(x~)).

    Args:
        others: see `Iad1`; the teacher's term is multiplied by A.
    """

    def __init__(self, **others: Any):
        super().__init__(**others | {"scale_teacher_term": True})
