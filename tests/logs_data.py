"""Small generated data for the logs domain, and its methods as experiments/method/*.yaml have them."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning import LightningModule
from omegaconf import OmegaConf

from datamodules.logs.base import LogDataModule
from datamodules.logs.formats import named
from datamodules.logs.generated import GeneratedLog
from lit_unlearn import config, nodes

METHODS = [
    name
    for name in config.choices("method")
    if "_target_: lit_unlearn.methods.logs." in (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
]

MODEL = {"hidden": 16, "layers": 1, "generator_hidden": 8, "generator_layers": 1}
"""The networks of tests: a step takes milliseconds."""


def small_log(**changed: Any) -> GeneratedLog:
    """A generated log with labelled alerts, set up; three batches of 16 lines and 4 labelled ones an epoch."""
    log = {"num_lines": 1500, "anomaly_share": 0.05, "num_labelled": 12, "vocab_size": 300, "max_length": 48}
    batches = {"lines_per_epoch": 48, "batch_size": 16, "labelled_batch_size": 4}
    data = GeneratedLog(**log | batches | changed)
    data.setup()
    return data


class Given(LogDataModule):
    """Lines given as `TAG SECONDS MESSAGE`.

    Args:
        lines: of the log.
        others: see `LogDataModule`.
    """

    def __init__(self, lines: list[str], **others: Any):
        super().__init__(**others)
        self.lines = lines
        self.format = named("columns", label=0, time=1, message=2)

    def read(self) -> Iterable[str]:
        return iter(self.lines)


def build_method(name: str, data: LogDataModule, seed: int = 0, **values: Any) -> LightningModule:
    """A method by its name, sized for tests; `values` that it has no argument for are left out."""
    group = OmegaConf.load(config.EXPERIMENTS / "method" / f"{name}.yaml")
    resolved = OmegaConf.to_container(OmegaConf.create({"method": group, "model": MODEL}), resolve=True)
    assert isinstance(resolved, dict)
    node = resolved["method"]
    arguments = nodes.arguments_of(nodes.imported(node["_target_"]))
    offered = {name: getattr(data, name) for name in data.offers} | values
    torch.manual_seed(seed)
    return nodes.build(node | {key: value for key, value in offered.items() if key in arguments})
