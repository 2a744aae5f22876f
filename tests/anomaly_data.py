"""Small generated data for the anomaly domain, and its methods as experiments/method/*.yaml have them."""

from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from omegaconf import OmegaConf

from datamodules.anomaly.base import AnomalyDataModule, Items
from datamodules.anomaly.protocol import Pool
from lit_unlearn import config, nodes
from lit_unlearn.reproducibility import StepSeed


def method_node(
    name: str, network: str = "auto", representation: int = 8, contamination: float = 0.1
) -> dict[str, Any]:
    """The method's configuration, as an experiment with these values of the problem resolves it."""
    group = OmegaConf.load(config.EXPERIMENTS / "method" / f"{name}.yaml")
    model = {"network": network, "representation": representation}
    whole = OmegaConf.create({"method": group, "model": model, "data": {"contamination": contamination}})
    resolved = OmegaConf.to_container(whole, resolve=True)
    assert isinstance(resolved, dict)
    return resolved["method"]


METHODS = [
    name
    for name in config.choices("method")
    if "_target_: lit_unlearn.methods.anomaly." in (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
]


def build_method(name: str, input_shape: list[int], seed: int = 0, **values: Any) -> LightningModule:
    """A method by its name; `values` that it has no argument for are left out."""
    problem = {key: values.pop(key) for key in ("network", "representation", "contamination") if key in values}
    node = method_node(name, **problem)
    arguments = nodes.arguments_of(nodes.imported(node["_target_"]))
    offered = {"input_shape": input_shape, **values}
    torch.manual_seed(seed)
    return nodes.build(node | {key: value for key, value in offered.items() if key in arguments})


class Generated(AnomalyDataModule):
    """Three kinds of items, each a random pattern in [0, 1] with noise; small enough for a step in milliseconds.

    Args:
        shape: of an item.
        others: see `AnomalyDataModule`; the defaults give three batches an epoch.
    """

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), **others: Any):
        small = {"num_normal": 99, "contamination": 0.1, "num_labelled": 20, "num_test": 60}
        super().__init__(**small | {"batch_size": 40, "labelled_batch_size": 20} | others)
        self.shape = shape

    def load(self) -> Items:
        rng = np.random.default_rng(0)
        pattern = rng.uniform(0.2, 0.8, (3, *self.shape))
        kind = np.repeat([0, 1, 2], [200, 100, 50])
        x = (pattern[kind] + 0.1 * rng.normal(size=(len(kind), *self.shape))).clip(0, 1).astype(np.float32)
        rows = [np.flatnonzero(kind == k) for k in range(3)]
        test = Pool(rows[0][:40], rows[1][:20], rows[2][:20])
        train = Pool(rows[0][40:], rows[1][20:], rows[2][:0])
        return Items(lambda chosen: x[chosen], train, test)


class Clusters(AnomalyDataModule):
    """Points in the plane, given as they are.

    Args:
        normal, seen, unseen: (n, 2) points; the first half of the normal and of the seen ones is for training.
        others: see `AnomalyDataModule`.
    """

    def __init__(self, normal: NDArray, seen: NDArray, unseen: NDArray, **others: Any):
        super().__init__(**others)
        self.points = normal, seen, unseen

    def load(self) -> Items:
        x = np.concatenate(self.points).astype(np.float32)
        normal, seen, unseen = np.split(np.arange(len(x)), np.cumsum([len(part) for part in self.points])[:-1])
        train = Pool(normal[: len(normal) // 2], seen[: len(seen) // 2], unseen[:0])
        return Items(lambda chosen: x[chosen], train, Pool(normal[len(normal) // 2 :], seen[len(seen) // 2 :], unseen))


def trainer(**arguments: Any) -> Trainer:
    """A quiet Trainer on one CPU process; no checkpoints and no logger unless asked for."""
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    ours = {"accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0, "use_distributed_sampler": False}
    callbacks = [StepSeed(0), *arguments.pop("callbacks", [])]
    return Trainer(**quiet | ours | arguments, callbacks=callbacks)
