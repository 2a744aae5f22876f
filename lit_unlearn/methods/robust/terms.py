"""The named terms of which every method's objective is a weighted sum, and the losses that its attack raises.

S is the student, T the teacher, x a picture, x~ the attacked one, x_T what the teacher is shown (`teacher_input`), A
the trust in the teacher. Equation numbers are those of `lit_unlearn.losses.distillation`.
"""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from lit_unlearn.losses import distillation as losses

if TYPE_CHECKING:
    from lit_unlearn.methods.robust.distillation import Distillation

Input = Literal["clean", "adversarial"]
TermName = Literal[
    "label_clean",
    "label_adversarial",
    "label_boosted",
    "self",
    "self_misclassified",
    "self_distrusted",
    "teacher",
    "teacher_trusted",
    "teacher_on_clean",
    "teacher_adversarial",
    "standard_adversarial",
    "representation",
]


class Passes:
    """The forward passes of a batch, each made once, when a term first asks for it.

    Args:
        method: whose networks and settings.
        x: (B, C, H, W) pictures.
        perturbed: (B, C, H, W) attacked pictures.
        y: (B,) classes.
    """

    def __init__(self, method: "Distillation", x: Tensor, perturbed: Tensor, y: Tensor):
        self.method, self.x, self.perturbed, self.y = method, x, perturbed, y

    @cached_property
    def clean(self) -> Tensor:
        """S(x)."""
        return self.method.net(self.x)

    @cached_property
    def _adversarial(self) -> tuple[Tensor, list[Tensor]]:
        return self.method.net.with_representations(self.perturbed, self.method.layers_used)

    @property
    def adversarial(self) -> Tensor:
        """S(x~)."""
        return self._adversarial[0]

    @cached_property
    def _teacher_clean(self) -> tuple[Tensor, list[Tensor]]:
        with torch.no_grad():
            return self.method.teacher().with_representations(self.x, self.method.layers_used)

    @cached_property
    def _teacher_adversarial(self) -> tuple[Tensor, list[Tensor]]:
        """With gradients to x~ where the attack raises the whole objective."""
        with torch.set_grad_enabled(self.perturbed.requires_grad):
            return self.method.teacher().with_representations(self.perturbed, self.method.layers_used)

    @property
    def _teacher(self) -> tuple[Tensor, list[Tensor]]:
        return self._teacher_clean if self.method.teacher_input == "clean" else self._teacher_adversarial

    @property
    def teacher(self) -> Tensor:
        """T(x_T)."""
        return self._teacher[0]

    @property
    def teacher_clean(self) -> Tensor:
        """T(x)."""
        return self._teacher_clean[0]

    @property
    def teacher_adversarial(self) -> Tensor:
        """T(x~)."""
        return self._teacher_adversarial[0]

    @cached_property
    def standard_adversarial(self) -> Tensor:
        """The standard teacher's logits on x~."""
        with torch.set_grad_enabled(self.perturbed.requires_grad):
            return self.method.teacher("standard_teacher")(self.perturbed)

    @cached_property
    def trust(self) -> Tensor:
        """A: 1 before it begins to count."""
        if not self.method.trust_counts():
            return torch.ones_like(self.y, dtype=self.adversarial.dtype)
        return losses.trust(self.teacher_adversarial, self.y, self.method.trust_power)

    def soft(self, target: Tensor, logits: Tensor) -> Tensor:
        """KL_t(target -> logits) with the method's temperature and reduction."""
        return losses.kl_divergence(target, logits, self.method.tau, self.method.reduction)

    def representation(self) -> Tensor:
        """The mean over the layers of d(h_S(x~), h_T(x_T))."""
        pairs = zip(self._adversarial[1], self._teacher[1], self.method.projections, strict=True)
        distances = [losses.representation_distance(p(h), g, self.method.distance) for h, g, p in pairs]
        return torch.stack(distances).mean(0)


TERMS: dict[TermName, Callable[[Passes], Tensor]] = {
    "label_clean": lambda p: losses.cross_entropy(p.clean, p.y),  # CE(S(x), y)
    "label_adversarial": lambda p: losses.cross_entropy(p.adversarial, p.y),  # CE(S(x~), y)
    "label_boosted": lambda p: losses.boosted_cross_entropy(p.adversarial, p.y),  # BCE(S(x~), y)
    "self": lambda p: losses.kl_divergence(p.clean, p.adversarial),  # KL(S(x) -> S(x~))
    "self_misclassified": lambda p: (  # KL(S(x) -> S(x~)) (1 - p_y(S(x)))
        losses.kl_divergence(p.clean, p.adversarial) * (1 - losses.class_probability(p.clean, p.y))
    ),
    "self_distrusted": lambda p: (
        losses.kl_divergence(p.clean, p.adversarial) * (1 - p.trust)
    ),  # (1-A) KL(S(x) -> S(x~))
    "teacher": lambda p: p.soft(p.teacher, p.adversarial),  # KL_t(T(x_T) -> S(x~))
    "teacher_trusted": lambda p: p.soft(p.teacher, p.adversarial) * p.trust,  # A KL_t(T(x_T) -> S(x~))
    "teacher_on_clean": lambda p: p.soft(p.teacher_clean, p.clean),  # KL_t(T(x) -> S(x))
    "teacher_adversarial": lambda p: p.soft(p.teacher_adversarial, p.adversarial),  # KL_t(T(x~) -> S(x~))
    "standard_adversarial": lambda p: p.soft(p.standard_adversarial, p.adversarial),  # KL_t(T_std(x~) -> S(x~))
    "representation": Passes.representation,
}
"""(B,) values of each term."""
