"""PDU: logits on the targets are levelled as far as a limit on the retained answers' loss allows.

Entesari et al., "Constrained Entropic Unlearning: A Primal-Dual Framework for Large Language Models", 2025, arXiv
2506.05314; known here from the reproduction in open-unlearning.

Idea: the weight of the retain term need not be guessed: it is the multiplier of the constraint that the retained
answers' loss stays below a limit, and grows as long as it does not.

Equations implemented: (6) of `lit_unlearn.losses.forgetting` and, numbered here,

    (1)  L = forget_weight L_forget + retain.nll m NLL(retained)
    (2)  m <- max(0, m + dual_step (NLL(retained) - limit)), m = 1 at first

(2) once after each optimiser step, with the mean over its batches and all processes, when `dual_warm_up` has passed.

Deviations: the warm-up is a share of the steps (public code: 5 epochs, half of the usual 10).

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=pdu
Expect: docs/llm.md.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import AnswerBatch, UnlearningBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, RetainTerm, Unlearner
from lit_unlearn.methods.schedule import num_steps


class Pdu(Unlearner):
    """PDU.

    Args:
        model: see `Problem`.
        limit: of the retained answers' loss, nats a token.
        dual_step: of equation (2).
        dual_warm_up: share of the steps before the multiplier moves.
        shared: see `Unlearner`.
    """

    multiplier: Tensor

    def __init__(
        self,
        model: Problem,
        limit: Annotated[float, Field(gt=0)],
        dual_step: Annotated[float, Field(gt=0)] = 1.0,
        dual_warm_up: Annotated[float, Field(ge=0, le=1)] = 0.5,
        **shared,
    ):
        super().__init__(model, **shared)
        if "nll" not in self.retain:
            raise UserError("method.retain: has no nll, which this method limits; give method.retain.nll=1")
        self.limit, self.dual_step, self.dual_warm_up = limit, dual_step, dual_warm_up
        self.register_buffer("multiplier", torch.ones(()))
        self._excess: list[Tensor] = []  # of the batches of one optimiser step

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return forgetting.pdu_forget(self.logits(batch.forget.tokens), batch.forget.labels)

    def retain_losses(self, batch: AnswerBatch) -> dict[RetainTerm, Tensor]:
        losses = super().retain_losses(batch)
        self._excess.append(losses["nll"].detach() - self.limit)
        return losses | {"nll": self.multiplier * losses["nll"]}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        excess = torch.stack(self._excess).mean()
        self._excess.clear()
        if self.trainer.global_step >= self.dual_warm_up * num_steps(self.trainer):
            self.multiplier.copy_((self.multiplier + self.dual_step * excess).clamp_min(0))
        self.log_sometimes({"train/multiplier": self.multiplier.clone()})
