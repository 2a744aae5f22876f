"""A log of a few kinds of lines, small enough for a fit in a moment, and batches of given lines."""

from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from datamodules.logs.batches import LineBatch
from lit_unlearn import config, nodes
from tests.anomaly_data import trainer

TEXTS = [
    "start of job [NUM]",
    "end of job [NUM]",
    "disk [PATH] mounted",
    "",
    "login of user anna",
    "login of user bert",
]
"""Distinct normal lines; the last two are rare."""


def line_batch(text: list[str], count: list[int] | None = None) -> LineBatch:
    """Lines without tokens, which the methods tested here do not look at."""
    counts = torch.tensor(count or [1] * len(text))
    return LineBatch(
        torch.zeros(len(text), 1, dtype=torch.int64), torch.zeros(len(text), dtype=torch.bool), counts, text
    )


class SmallLog(LightningDataModule):
    """The attributes of a `LogDataModule` that methods use.

    The log repeats start, end, disk, empty; each 50th line is a login instead. The first 400 lines are for training,
    50 for validation, and the rest, with two new lines in it, for the test.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed = 0
        self.texts = [*TEXTS, "kernel panic", "login of user root"]
        self.line = np.arange(500) % 4
        self.line[49::50] = 4 + np.arange(10) % 2
        self.line[[470, 490]] = 6, 7
        self.train, self.validation, self.test = np.split(np.arange(500), [400, 450])

    def _batches(self, lines: np.ndarray, size: int) -> DataLoader:
        distinct, count = np.unique(self.line[lines], return_counts=True)
        batch = line_batch([self.texts[i] for i in distinct] * size, count.tolist() * size)
        return DataLoader([batch], batch_size=None)

    def train_dataloader(self) -> DataLoader:
        return self._batches(self.train, size=20)

    def val_dataloader(self) -> DataLoader:
        return self._batches(self.validation, size=1)


def build(name: str, **values: object) -> LightningModule:
    """A method as experiments/method/*.yaml has it."""
    node = OmegaConf.to_container(OmegaConf.load(config.EXPERIMENTS / "method" / f"{name}.yaml"), resolve=True)
    assert isinstance(node, dict)
    torch.manual_seed(0)
    return nodes.build(node | values)


def fit(method: LightningModule, checkpoint: Path | None = None, **arguments: object) -> Trainer:
    """Fits a method to the small log, or goes on from a checkpoint; 3 epochs of a step each, if it takes that many."""
    fitting = trainer(**{"max_epochs": 3} | arguments)
    fitting.fit(method, datamodule=SmallLog(), ckpt_path=checkpoint, weights_only=True)
    return fitting


def scores(method: LightningModule, text: list[str]) -> list[float]:
    """Scores of lines, each on its own."""
    return method.predict_step(line_batch(text), 0).tolist()


def assert_checkpoint_keeps_scores(name: str, folder: Path) -> None:
    """A method fitted, saved, and loaded without pickles into a fresh object, scores the same."""
    text = [*TEXTS, "kernel panic", "login of user root", "start of job of job"]
    method = build(name)
    fit(method).save_checkpoint(folder / "last.ckpt")
    again = build(name)
    again.load_state_dict(torch.load(folder / "last.ckpt", weights_only=True)["state_dict"])
    assert scores(again, text) == scores(method, text)
    assert len(set(scores(method, text))) > 1
    assert torch.equal(again.unlabeled_quantiles, method.unlabeled_quantiles)
