"""The learning rate over a run, for the methods of every domain: it rises over the first steps and falls to 0."""

import math
from typing import Any

import torch


def num_steps(trainer: Any) -> int:
    """Optimiser steps of the whole run.

    `Trainer.estimated_stepping_batches` sets up the loader before the checkpoint says where in it a resumed run stands:
    it would begin with the first batches of its epoch again.
    """
    batches, limit = len(trainer.datamodule.train_dataloader()), trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(limit * batches)
    epochs, most = (math.inf if value == -1 else value for value in (trainer.max_epochs, trainer.max_steps))
    return int(min(math.ceil(batches / trainer.accumulate_grad_batches) * epochs, most))


def warm_up_and_cosine(optimiser: torch.optim.Optimizer, trainer: Any, warm_up: float) -> dict[str, Any]:
    """What `configure_optimizers` returns.

    Args:
        optimiser: at its highest learning rate.
        trainer: whose run it is for.
        warm_up: share of the steps over which the rate rises.
    """
    steps = num_steps(trainer)
    rising = max(1, round(warm_up * steps))

    def share(step: int) -> float:
        return min((step + 1) / rising, (1 + math.cos(math.pi * step / steps)) / 2)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
