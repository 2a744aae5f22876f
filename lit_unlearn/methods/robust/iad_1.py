"""IAD-I: the teacher's output, and the student's own clean output where the teacher cannot be trusted.

Zhu et al., "Reliable Adversarial Distillation with Unreliable Teachers", ICLR 2022, arXiv 2106.04928.

Idea: a robust teacher errs on pictures attacked for the student; A = p_y(T(x~))^b says how far it is to be trusted.
Implemented: L = KL_t(T(x) -> S(x~)) + (1 - A) KL(S(x) -> S(x~)), with A = 1 over the first 0.3 of the
training steps (60 of 200 epochs in the released code), gradients through both sides of the second KL as there.

Reconstructed: whether the paper multiplies the teacher's term by A is not settled: `scale_teacher_term=true` does. In
the released IAD-I it is not multiplied, which is the default.

Deviation: the attack sees the student in eval mode (`attack_mode=train` for that of the released code).

Command: python -m lit_unlearn.fit experiment=ardir/digits method=iad_1
"""

from typing import Annotated, Any

from pydantic import Field

from lit_unlearn.methods.robust.distillation import Student


class Iad1(Student):
    """KL_t(T(x) -> S(x~)) + (1 - A) KL(S(x) -> S(x~)).

    Args:
        trust_power: b.
        trust_from: share of the steps before which A is 1.
        scale_teacher_term: multiply the teacher's term by A.
        tau: t.
        others: see `Student`.
    """

    def __init__(
        self,
        trust_power: Annotated[float, Field(ge=0)] = 0.1,
        trust_from: Annotated[float, Field(ge=0, le=1)] = 0.3,
        scale_teacher_term: bool = False,
        tau: Annotated[float, Field(gt=0)] = 1.0,
        **others: Any,
    ):
        super().__init__(**others)
        self.trust_power, self.trust_from, self.tau = trust_power, trust_from, tau
        self.weights = {"teacher_trusted" if scale_teacher_term else "teacher": 1.0, "self_distrusted": 1.0}
