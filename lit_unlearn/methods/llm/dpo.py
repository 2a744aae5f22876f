"""DPO towards refusals ("IDK"): to each prompt about a target a refusal is preferred to the true answer.

Rafailov et al., "Direct Preference Optimization", NeurIPS 2023, arXiv 2305.18290; as a baseline of unlearning in Maini
et al., "TOFU", 2024, arXiv 2401.06121.

Idea: the model is taught what to say in the place of the answer, relative to what it said before.

Equation implemented: (2) of `lit_unlearn.losses.preference`, refusals as the chosen answers.

Deviations: the factor 2/beta, as in NPO, where TOFU has 1; it rescales `forget_weight`. One wording of the refusal, the
data's; TOFU draws from a hundred.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=dpo
Expect: docs/llm.md.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import preference
from lit_unlearn.methods.llm.base import Problem, Unlearner


class Dpo(Unlearner):
    """DPO with refusals.

    Args:
        model: see `Problem`.
        beta: inverse temperature.
        shared: see `Unlearner`.
    """

    needs = (("forget", "log_probs"), ("refusal", "log_probs"))

    def __init__(self, model: Problem, beta: Annotated[float, Field(gt=0)] = 0.1, **shared):
        super().__init__(model, **shared)
        self.beta = beta

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        chosen, rejected = self.log_probs(batch.refusal), self.log_probs(batch.forget)
        untouched = (
            self.untouched.log_probs("refusal", batch.refusal),
            self.untouched.log_probs("forget", batch.forget),
        )
        return preference.dpo(chosen, rejected, *untouched, self.beta)
