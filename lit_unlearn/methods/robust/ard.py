"""ARD: a student that gives on attacked pictures the output of a robust teacher on clean ones.

Goldblum et al., "Adversarially Robust Distillation", AAAI 2020, arXiv 1905.09747.

Implemented: L = a KL_t(T(x) -> S(x~)) + (1 - a) CE(S(x), y), the squared temperature inside KL_t. The authors' values
are a = 1 and t = 30 for a wide teacher and a small student; the default here is the t = 1 of later comparisons.

Reconstructed: that the attack raises CE; the text on it was not available.

Command: python -m lit_unlearn.fit experiment=ardir/digits method=ard
"""

from typing import Annotated, Any

from pydantic import Field

from lit_unlearn.methods.robust.distillation import Share, Student


class Ard(Student):
    """a KL_t(T(x) -> S(x~)) + (1 - a) CE(S(x), y).

    Args:
        alpha: a.
        tau: t.
        others: see `Student`.
    """

    def __init__(self, alpha: Share = 1.0, tau: Annotated[float, Field(gt=0)] = 1.0, **others: Any):
        super().__init__(**others)
        self.tau = tau
        self.weights = {"label_clean": 1 - alpha, "teacher": alpha}
