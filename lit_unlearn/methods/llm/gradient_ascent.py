"""Gradient ascent: the true answers about the targets are made less probable, token by token, without end.

Jang et al., "Knowledge Unlearning for Mitigating Privacy Risks in Language Models", ACL 2023, arXiv 2210.01504.

Idea: what was learnt by descending the next-token loss is undone by ascending it.

Equation implemented: (1) of `lit_unlearn.losses.forgetting`. It has no lower bound: too many steps destroy the model,
and only their number and the learning rate say when to stop.

Deviations: the loss is that of the answers alone, not of the prompts.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=gradient_ascent
Expect: docs/llm.md.
"""

from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Unlearner


class GradientAscent(Unlearner):
    """Gradient ascent; arguments as of `Unlearner`."""

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return forgetting.gradient_ascent(self.logits(batch.forget.tokens), batch.forget.labels)
