"""SatImp: gradient ascent on tokens that are neither forgotten already nor certain.

Yang et al., "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning", ICML 2025, arXiv 2505.11953; known here
from the reproduction in open-unlearning.

Idea: two weights of a token, one for saturation (it is still probable) and one for importance (it is not certain), both
constants.

Equation implemented: (3) of `lit_unlearn.losses.forgetting`.

Deviations: none known. Weights are those of the public configuration (forget .1, retain 1), which its class has the
other way round.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=satimp
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, Unlearner


class SatImp(Unlearner):
    """SatImp.

    Args:
        model: see `Problem`.
        beta1, beta2: powers of the weights for saturation and importance; both 0 is gradient ascent.
        shared: see `Unlearner`.
    """

    def __init__(
        self,
        model: Problem,
        beta1: Annotated[float, Field(ge=0)] = 5.0,
        beta2: Annotated[float, Field(ge=0)] = 1.0,
        **shared,
    ):
        super().__init__(model, **shared)
        self.beta1, self.beta2 = beta1, beta2

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return forgetting.satimp(self.logits(batch.forget.tokens), batch.forget.labels, self.beta1, self.beta2)
