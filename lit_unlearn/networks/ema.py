"""A moving average of a network's weights, kept by a callback."""

import copy
from typing import Annotated, Any

import torch
from lightning import Callback, LightningModule, Trainer
from pydantic import Field


class MovingAverage(Callback):
    """Keeps `method.average`, a moving average of the weights of `method.network`.

    It is a submodule of the method, hence in every checkpoint beside the weights of the last step, which training goes
    on from. Pictures are drawn with the average, in training, in the evaluation and in the export.

    After n optimiser steps the average is moved by 1 - min(decay, (1 + n) / (10 + n)), so that the first, untrained
    weights have no weight in it.

    Args:
        decay: share of the average that stays at each step.
    """

    def __init__(self, decay: Annotated[float, Field(ge=0, lt=1)] = 0.999):
        self.decay = decay
        self._seen = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        method: Any = pl_module
        if stage == "fit" and method.average is None:
            method.average = copy.deepcopy(method.network).requires_grad_(False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step == self._seen:  # a part of an accumulated step
            return
        self._seen = step
        method: Any = pl_module
        kept = min(self.decay, (1 + step) / (10 + step))
        average, weights = list(method.average.parameters()), list(method.network.parameters())
        torch._foreach_lerp_(average, [weight.detach() for weight in weights], 1 - kept)
