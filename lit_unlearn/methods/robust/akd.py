"""AKD: a robust and a standard teacher, both shown the attacked picture, beside the label.

Chen et al., "Robust Overfitting May Be Mitigated by Properly Learned Smoothening", ICLR 2021 (there without name;
AKD2 in the released code of IAD).

Implemented, with a1 = 0.5, a2 = 0.25:

    L = (1 - a1 - a2) CE(S(x~), y) + a1 KL_t(T(x~) -> S(x~)) + a2 KL_t(T_std(x~) -> S(x~))

Reconstructed: that the attack raises CE; the text on it was not available. Which AKD the ARDIR paper compares with is
not known either (Maroto et al. 2022 is another candidate).

Command: python -m lit_unlearn.fit experiment=ardir/digits method=akd
"""

from typing import Annotated, Any

from pydantic import Field

from lit_unlearn.errors import UserError
from lit_unlearn.methods.robust.distillation import Share, Student
from lit_unlearn.networks.classifier import ClassifierName


class Akd(Student):
    """(1 - a1 - a2) CE(S(x~), y) + a1 KL_t(T(x~) -> S(x~)) + a2 KL_t(T_std(x~) -> S(x~)).

    Args:
        standard_teacher, standard_teacher_network: a network trained without attacks, see `Student`.
        robust_weight, standard_weight: a1 and a2; together at most 1.
        tau: t.
        others: see `Student`.

    Raises:
        UserError: the weights exceed 1.
    """

    def __init__(
        self,
        standard_teacher: str,
        standard_teacher_network: ClassifierName | None = None,
        robust_weight: Share = 0.5,
        standard_weight: Share = 0.25,
        tau: Annotated[float, Field(gt=0)] = 1.0,
        **others: Any,
    ):
        super().__init__(**others)
        if robust_weight + standard_weight > 1:
            raise UserError(
                f"method.robust_weight={robust_weight}: exceeds 1 together with "
                f"method.standard_weight={standard_weight}; the label has what is left, lower one of them"
            )
        self.sources["standard_teacher"] = (standard_teacher, standard_teacher_network)
        self.tau = tau
        self.weights = {
            "label_adversarial": 1 - robust_weight - standard_weight,
            "teacher_adversarial": robust_weight,
            "standard_adversarial": standard_weight,
        }
