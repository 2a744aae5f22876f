"""A few steps of a method on the tiny world, in the test's process."""

import tempfile
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from lightning import Callback, LightningDataModule
from torch import Tensor

from lit_unlearn.losses import retaining
from lit_unlearn.methods.llm.base import Unlearner
from lit_unlearn.networks.causal_lm import load_causal_lm
from tests import llm_data
from tests.anomaly_data import trainer


class Losses(Callback):
    """Keeps the loss of each batch."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, fit, method, outputs, batch, batch_idx: int) -> None:
        self.values += [outputs["loss"].item()] if outputs else []


def train(
    method: Unlearner, data: LightningDataModule, steps: int = 1, start: str | None = None, **arguments: Any
) -> list[float]:
    """Trains in place, with the noise of a run and no validation, from a checkpoint where one is given.

    Returns:
        the loss of each batch.
    """
    data.setup = lambda stage: None  # type: ignore[method-assign]  # it is set up
    losses = Losses()
    callbacks = [losses, *arguments.pop("callbacks", [])]
    fit = trainer(max_steps=steps, max_epochs=-1, callbacks=callbacks, **{"limit_val_batches": 0} | arguments)
    fit.fit(method, datamodule=data, ckpt_path=start)
    return losses.values


@cache
def knowing() -> str:
    """A folder with a tiny model that was trained, in a second, on what is to be forgotten and retained; made once."""
    data, steps = llm_data.small_unlearning(), 60
    model = load_causal_lm(llm_data.model_folder())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        for pool in (data.pools.forget, data.pools.retain):
            batch = pool.batch(torch.randperm(len(pool), generator=generator)[:40])
            retaining.nll(model(batch.tokens).logits, batch.labels).backward()
        optimiser.step()
        schedule.step()
    _folders.append(tempfile.TemporaryDirectory(prefix="knowing"))
    model.save_pretrained(_folders[-1].name)
    return _folders[-1].name


_folders: list[tempfile.TemporaryDirectory] = []  # removed when the tests end


def problem(**changed: Any) -> Any:
    """The problem of the tests of unlearning: a model that knows, a random one as the reference, an autoencoder."""
    return llm_data.problem(path=knowing(), reference=llm_data.model_folder(), sae=llm_data.sae_folder()) | changed


def ready(method: Unlearner, data: LightningDataModule) -> Unlearner:
    """Set up as before the first step, without a Trainer."""
    method.trainer = SimpleNamespace(datamodule=data, strategy=SimpleNamespace(root_device=method.device))  # type: ignore[assignment]
    method.setup("fit")
    method._trainer = None
    return method


def moved(method: Unlearner, by: float = 0.1) -> Unlearner:
    """With noise added to all weights of its model."""
    generator = torch.Generator().manual_seed(2)
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
