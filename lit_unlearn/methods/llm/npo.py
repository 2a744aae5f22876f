"""NPO: answers to be forgotten are dispreferred, as the losing half of preference optimisation.

Zhang, Lin, Bai and Mei, "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning", 2024,
arXiv 2404.05868.

Idea: gradient ascent whose pull on a sequence fades as the sequence becomes less probable than the untouched model has
it; the smaller beta, the nearer to gradient ascent.

Equation implemented: (1) of `lit_unlearn.losses.preference`, on sums over an answer's tokens.

Deviations: none known in the loss. Values are those of TOFU in the authors' code; the retain term is the next-token
loss ("NPO+RT"; method.retain={nll:0,kl:1} is "NPO+KL").

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=npo
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import preference
from lit_unlearn.methods.llm.base import Problem, Unlearner


class Npo(Unlearner):
    """NPO.

    Args:
        model: see `Problem`.
        beta: inverse temperature.
        shared: see `Unlearner`.
    """

    needs = (("forget", "log_probs"),)

    def __init__(self, model: Problem, beta: Annotated[float, Field(gt=0)] = 0.1, **shared):
        super().__init__(model, **shared)
        self.beta = beta

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        untouched = self.untouched.log_probs("forget", batch.forget)
        return preference.npo(self.log_probs(batch.forget), untouched, self.beta)
