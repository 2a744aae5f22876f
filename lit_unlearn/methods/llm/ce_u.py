"""CE-U: the true token's probability is handed to the others, in the proportions they have.

Yang, "CE-U: Cross Entropy Unlearning", 2025, arXiv 2503.01224; known here from the reproduction in open-unlearning.

Idea: at each token the model learns its own distribution without the true token, so that nothing but that token
changes.

Equation implemented: (5) of `lit_unlearn.losses.forgetting`; the first tokens of an answer are left out.

Deviations: none known.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=ce_u
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, Unlearner


class CeU(Unlearner):
    """CE-U.

    Args:
        model: see `Problem`.
        skip_first: tokens at the beginning of each answer that are left out.
        shared: see `Unlearner`.
    """

    def __init__(self, model: Problem, skip_first: Annotated[int, Field(ge=0)] = 1, **shared):
        super().__init__(model, **shared)
        self.skip_first = skip_first

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return forgetting.ce_u(self.logits(batch.forget.tokens), batch.forget.labels, self.skip_first)
