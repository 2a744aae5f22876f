"""WGA: gradient ascent that lets go of tokens that have become improbable.

Wang et al., "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond", ICLR 2025, arXiv 2502.19301;
known here from the reproduction in open-unlearning.

Idea: ascent pulls hardest on what is forgotten already. Each token is weighed with its own probability, as a constant,
so that the pull fades.

Equation implemented: (2) of `lit_unlearn.losses.forgetting`.

Deviations: none known.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=wga
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, Unlearner


class Wga(Unlearner):
    """WGA.

    Args:
        model: see `Problem`.
        beta: power of the weight; 0 is gradient ascent.
        shared: see `Unlearner`.
    """

    def __init__(self, model: Problem, beta: Annotated[float, Field(ge=0)] = 1.0, **shared):
        super().__init__(model, **shared)
        self.beta = beta

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return forgetting.wga(self.logits(batch.forget.tokens), batch.forget.labels, self.beta)
