"""ARDIR: the internal representation of a robust teacher of the same architecture as a label, beside its output.

Takahashi, Yamada, Yamanaka, Yamashita, "ARDIR: Improving Robustness using Knowledge Distillation of Internal
Representation", 2022, arXiv 2211.00239.

Implemented, with x~ raising `inner_loss`:

    L = a KL_t(T(x_T) -> S(x~)) + (1 - a) CE(S(x_s), y) + b d(h_S(x~), h_T(x_T))

Reconstructed: only the abstract was available. That output and internal representation of the teacher are labels for
adversarial training is the paper's; the equations, the layer, the weights, the temperature, what the teacher is shown
and what the attack raises are ours, and are arguments.

With b = 0 this is distillation of the output alone; with a = b = 0 and labels on x~ it is PGD adversarial training.

Command: python -m lit_unlearn.fit experiment=ardir/digits
Expect: on 8x8 digits about what PGD adversarial training of the same total number of steps gives, see docs/robust.md.
"""

from typing import Annotated, Any

from pydantic import Field

from lit_unlearn.losses.distillation import Distance
from lit_unlearn.methods.robust.distillation import Share, Student, Weight
from lit_unlearn.methods.robust.terms import Input


class Ardir(Student):
    """a KL_t(T(x_T) -> S(x~)) + (1 - a) CE(S(x_s), y) + b d(h_S(x~), h_T(x_T)).

    Args:
        alpha: a.
        beta: b.
        tau: t.
        layers: modules of the network by name whose outputs are compared; where the widths differ, a linear map of the
            student's is learnt.
        distance: d.
        teacher_input: x_T, the clean or the attacked picture.
        hard_label_input: x_s.
        others: see `Student`.
    """

    def __init__(
        self,
        alpha: Share = 0.5,
        beta: Weight = 1.0,
        tau: Annotated[float, Field(gt=0)] = 1.0,
        layers: list[str] | None = None,
        distance: Distance = "normalised_l2",
        teacher_input: Input = "clean",
        hard_label_input: Input = "adversarial",
        **others: Any,
    ):
        super().__init__(**others)
        self.tau, self.distance, self.teacher_input = tau, distance, teacher_input
        self.layers = ["penultimate"] if layers is None else layers
        self.weights = {
            "label_adversarial" if hard_label_input == "adversarial" else "label_clean": 1 - alpha,
            "teacher": alpha,
            "representation": beta,
        }
