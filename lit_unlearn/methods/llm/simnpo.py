"""SimNPO: NPO without a reference model, on the log-probability of an answer's average token.

Fan et al., "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning", 2024, arXiv
2410.07163.

Idea: measured against the untouched model, what it knows well and what it barely knows get the same pull at first, and
short answers less than long ones. Without the reference and divided by the answer's length they do not.

Equation implemented: (3) of `lit_unlearn.losses.preference`.

Deviations: none known in the loss. Weights and beta are those of the authors' TOFU setting; the margin delta is called
gamma there.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=simnpo
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import preference
from lit_unlearn.losses.tokens import answer_lengths
from lit_unlearn.methods.llm.base import Problem, Unlearner


class SimNpo(Unlearner):
    """SimNPO.

    Args:
        model: see `Problem`.
        beta: inverse temperature.
        delta: margin, nats a token.
        shared: see `Unlearner`.
    """

    def __init__(self, model: Problem, beta: Annotated[float, Field(gt=0)] = 4.5, delta: float = 0.0, **shared):
        super().__init__(model, **shared)
        self.beta, self.delta = beta, delta

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        lengths = answer_lengths(batch.forget.labels)
        return preference.simnpo(self.log_probs(batch.forget), lengths, self.beta, self.delta)
