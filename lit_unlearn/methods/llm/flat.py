"""FLAT: an f-divergence between refusals and the answers to be forgotten is maximised; no retained data are needed.

Wang et al., "LLM Unlearning via Loss Adjustment with Only Forget Data", ICLR 2025, arXiv 2410.11143.

Idea: the variational form of an f-divergence says how much to learn from a refusal and how much to unlearn from the
true answer.

Equation implemented: (4) of `lit_unlearn.losses.preference`, for four divergences.

Deviations: probabilities are averaged over answer tokens only (the authors' code averages masked positions, too).

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=flat
Expect: docs/llm.md.
"""

from torch import Tensor

from datamodules.llm.batches import AnswerBatch, UnlearningBatch
from lit_unlearn.losses import preference
from lit_unlearn.losses.tokens import answer_probability
from lit_unlearn.methods.llm.base import Problem, Unlearner


class Flat(Unlearner):
    """FLAT.

    Args:
        model: see `Problem`.
        divergence: which is maximised.
        shared: see `Unlearner`.
    """

    def __init__(self, model: Problem, divergence: preference.Divergence = "total_variation", **shared):
        super().__init__(model, **shared)
        self.divergence: preference.Divergence = divergence

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return preference.flat(self._probability(batch.refusal), self._probability(batch.forget), self.divergence)

    def _probability(self, batch: AnswerBatch) -> Tensor:
        return answer_probability(self.logits(batch.tokens), batch.labels)
