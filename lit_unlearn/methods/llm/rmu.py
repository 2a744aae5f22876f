"""RMU: hidden states about the targets are steered to one random vector, those of the rest held where they are.

Li et al., "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning", ICML 2024, arXiv 2403.03218.

Idea: later blocks can make nothing of the states that an early block gives them for what is to be forgotten.

Equations implemented: (8) of `lit_unlearn.losses.forgetting` at the output of block `model.layer`, and (4) of
`lit_unlearn.losses.retaining` there. The direction is drawn once from the seed and is part of the checkpoint. Nothing
beyond the block is computed, nor trained.

Deviations: the states that the answer is predicted from are steered, not those at the answer's own tokens (the authors
steer all tokens of a text; public code that steers answers is one position late). `steered=entity` is ours. All
parameters up to the block are trained; the authors train the down-projections of three blocks, which is
method.modules=down_proj here.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=rmu
Expect: docs/llm.md.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import IGNORED, UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, Unlearner


class Rmu(Unlearner):
    """RMU.

    Args:
        model: see `Problem`.
        scale: length of the vector that states are steered to.
        steered: the states that the `answer` is predicted from, or the one at the `entity`'s last token (at the
            prompt's last token where it names none).
        seed: draws the direction.
        shared: see `Unlearner`; the last trained block is `model.layer`.
    """

    control: Tensor

    def __init__(
        self,
        model: Problem,
        scale: Annotated[float, Field(gt=0)] = 20.0,
        steered: Literal["answer", "entity"] = "answer",
        seed: int = 0,
        **shared,
    ):
        super().__init__(model, **{"last_block": model["layer"]} | shared)
        self.steered = steered
        width = self.model.config.hidden_size
        self.register_buffer("control", forgetting.control_vector(width, scale, seed))

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        items, labels = batch.forget, batch.forget.labels
        if self.steered == "entity":
            read = torch.where(items.entity_end >= 0, items.entity_end, items.prompt_end)
            after = torch.arange(labels.shape[1], device=labels.device) == read[:, None] + 1
            labels = items.tokens.masked_fill(~after, IGNORED)  # a label says that the state before it counts
        return forgetting.rmu(self.states(items.tokens), labels, self.control)
