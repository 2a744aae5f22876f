"""UNDIAL: the model is distilled from its untouched self, with the true tokens' logits lowered.

Dong et al., "UNDIAL: Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language Models", NAACL
2025, arXiv 2402.10052; known here from the reproduction in open-unlearning.

Idea: a target distribution that is the model's own but for the memorised token is bounded and stays fluent, where
ascent is not.

Equation implemented: (4) of `lit_unlearn.losses.forgetting`. The untouched model's distributions are computed once; of
a vocabulary beyond 1,024 the most probable tokens are kept, and the rest share their mass evenly.

Deviations: the mean is over answer tokens only (public code distils prompts and padding, too).

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=undial
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, Unlearner
from lit_unlearn.networks.reference import all_log_probs


class Undial(Unlearner):
    """UNDIAL.

    Args:
        model: see `Problem`.
        beta: by how much the true token's logit is lowered.
        shared: see `Unlearner`.
    """

    needs = (("forget", "distributions"),)

    def __init__(self, model: Problem, beta: Annotated[float, Field(ge=0)] = 10.0, **shared):
        super().__init__(model, **shared)
        self.beta = beta

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        logits = self.logits(batch.forget.tokens)
        untouched = all_log_probs(*self.untouched.distributions("forget", batch.forget), logits.shape[-1])
        return forgetting.undial(logits, batch.forget.labels, untouched, self.beta)
