"""Evaluation suites, one file a domain, and how one is run on a checkpoint."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from lightning import LightningDataModule, LightningModule, Trainer

from lit_unlearn import checkpoint, nodes
from lit_unlearn.evaluation.result import Evaluation


def of(weights: Path, data: LightningDataModule, trainer: Trainer) -> tuple[LightningModule, Evaluation]:
    """The method in a checkpoint, and what the suite of its domain measures of it.

    Args:
        weights: best.ckpt or last.ckpt of a run.
        data: set up.
        trainer: see `trainer`.

    Raises:
        UserError: the checkpoint is absent or cannot be read.
    """
    method, config = checkpoint.load_method(weights)
    judge = suite(config)
    if hasattr(judge, "evaluate_run"):  # judges other checkpoints of the run beside this one
        return method, judge.evaluate_run(method, weights, data, trainer)
    return method, judge.evaluate(method, data, trainer)


def suite(config: dict[str, Any]) -> ModuleType:
    """The module of the suite for a run's domain: `evaluate(method, data, trainer)`, and `score` for new data.

    One that judges several checkpoints of a run has `evaluate_run(method, weights, data, trainer)`, which goes first.
    """
    return importlib.import_module(f"lit_unlearn.evaluation.{nodes.domain(config['method'])}")


def trainer(node: dict[str, Any]) -> Trainer:
    """A Trainer for evaluation: one device of the kind the node names, nothing written."""
    one_device = {key: value for key, value in node.items() if key != "strategy"} | {"devices": 1, "num_nodes": 1}
    return nodes.build(
        one_device, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
