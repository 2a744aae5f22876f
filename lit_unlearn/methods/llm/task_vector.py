"""Task vector: learn the targets even better, then go as far in the other direction.

Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, arXiv 2212.04089.

Idea: the difference that fine-tuning on a task makes to the weights, subtracted, takes the task away.

Equations implemented, numbered here:

    (1)  theta     = fine-tuned from theta_0 on the answers to be forgotten, next-token loss
    (2)  unlearned = theta_0 - scale (theta - theta_0)

Deviations: none known. `scale` is to be chosen on a validation set; 1 is ours.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=task_vector
Expect: docs/llm.md.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import retaining
from lit_unlearn.methods.llm.base import Problem, Unlearner
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.trained_parts import merge_lora


class TaskVector(Unlearner):
    """Trains the model to know the targets; `unlearned` has equation (2).

    Args:
        model: see `Problem`.
        scale: of equation (2).
        shared: see `Unlearner`.
    """

    def __init__(self, model: Problem, scale: Annotated[float, Field(ge=0)] = 1.0, **shared):
        super().__init__(model, **shared)
        self.scale = scale
        self._tuned: list[Any] = []  # the model in training, while the edited one is looked at; a list is no submodule

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        """() equation (1): the targets' answers are learnt."""
        return retaining.nll(self.logits(batch.forget.tokens), batch.forget.labels)

    @torch.no_grad()
    def unlearned(self) -> Any:
        """Equation (2), as a model of its own."""
        tuned = dict(merge_lora(self.model).named_parameters())
        edited: torch.nn.Module = load_causal_lm(self.problem["path"])
        edited.to(self.device)
        for name, weight in edited.named_parameters():
            weight.sub_(self.scale * (tuned[name] - weight))
        return edited

    def on_validation_epoch_start(self) -> None:
        """Learning curves are those of the edited model."""
        super().on_validation_epoch_start()
        self._tuned.append(self.model)
        self.model = self.unlearned()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.model = self._tuned.pop()
