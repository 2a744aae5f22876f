"""A few steps of a method on the tiny world, in the test's process."""

from types import SimpleNamespace
from typing import Any

import torch
from lightning import Callback, LightningDataModule
from torch import Tensor

from lit_unlearn.methods.llm.base import Unlearner
from tests.anomaly_data import trainer


class Losses(Callback):
    """Keeps the loss of each batch."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, fit, method, outputs, batch, batch_idx: int) -> None:
        self.values.append(outputs["loss"].item())


def train(method: Unlearner, data: LightningDataModule, steps: int = 1, **arguments: Any) -> list[float]:
    """Trains in place, with the noise of a run; returns the loss of each batch."""
    losses = Losses()
    callbacks = [losses, *arguments.pop("callbacks", [])]
    trainer(max_steps=steps, max_epochs=-1, callbacks=callbacks, **arguments).fit(method, datamodule=data)
    return losses.values


def ready(method: Unlearner, data: LightningDataModule) -> Unlearner:
    """Set up as before the first step, without a Trainer."""
    method.trainer = SimpleNamespace(datamodule=data, strategy=SimpleNamespace(root_device=method.device))  # type: ignore[assignment]
    method.setup("fit")
    method._trainer = None
    return method


def moved(method: Unlearner, by: float = 0.1) -> Unlearner:
    """With noise added to all weights of its model."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in method.model.parameters():
            weight += by * torch.randn(weight.shape, generator=generator)
    return method


def copied(method: Unlearner) -> dict[str, Tensor]:
    """The state of a method, as it is now."""
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names whose bits differ."""
    assert list(before) == list(after)
    return {name for name in before if not torch.equal(before[name], after[name])}
