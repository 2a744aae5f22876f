"""Small generated data for the robust domain, networks to teach with, and its methods as the experiments have them."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule

from datamodules.images import Images
from datamodules.robust.base import RobustDataModule
from lit_unlearn import config, nodes
from lit_unlearn.networks.classifier import Classifier, ClassifierName
from lit_unlearn.networks.classifier_files import save_classifier

METHODS = [
    name
    for name in config.choices("method")
    if "_target_: lit_unlearn.methods.robust." in (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
]
SHAPE, CLASSES, MEAN, STD = [1, 8, 8], 4, [0.4], [0.3]


class Patterns(RobustDataModule):
    """Four random patterns in [0, 1] with noise; small enough for a step in milliseconds.

    Args:
        others: see `RobustDataModule`; the defaults give three batches an epoch.
    """

    def __init__(self, **others: Any):
        super().__init__(**{"validation": 20, "batch_size": 20, "num_autoattack": 10} | others)

    def read(self) -> Images:
        rng = np.random.default_rng(0)
        patterns = rng.uniform(0.2, 0.8, (CLASSES, *SHAPE))
        labels = rng.permutation(np.arange(120) % CLASSES)
        noisy = patterns[labels] + 0.1 * rng.normal(size=(120, *SHAPE))
        pictures = (255 * noisy.clip(0, 1)).round().astype(np.uint8)
        return Images(pictures[:80], labels[:80], pictures[80:], labels[80:], tuple("abcd"))


def classifier(seed: int = 0, network: ClassifierName = "small_conv", classes: int = CLASSES) -> Classifier:
    """A network with random weights, in eval mode, without gradients."""
    torch.manual_seed(seed)
    return Classifier(network, SHAPE, classes, MEAN, STD).eval().requires_grad_(False)


@functools.cache
def classifier_folder(
    classes: int = CLASSES, seed: int = 1, network: ClassifierName = "small_conv", shape: tuple[int, ...] = (1, 8, 8)
) -> Path:
    """A folder of such a network, removed at the end of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="classifier-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    torch.manual_seed(seed)
    save_classifier(Classifier(network, shape, classes, MEAN * shape[0], STD * shape[0]), folder)
    return folder


@functools.cache
def _composed(name: str) -> dict[str, Any]:
    return config.compose(["experiment=ardir/digits", f"method={name}"])


def build_method(name: str, seed: int = 0, **values: Any) -> LightningModule:
    """A method by its name for `Patterns`; `values` that it has no argument for are left out."""
    node = _composed(name)["method"]
    arguments = nodes.arguments_of(nodes.imported(node["_target_"]))
    offered = {"input_shape": SHAPE, "num_classes": CLASSES, "mean": MEAN, "std": STD, "attack_steps": 2}
    offered |= {"teacher": str(classifier_folder()), "standard_teacher": str(classifier_folder(seed=2))} | values
    torch.manual_seed(seed)
    return nodes.build(node | {key: value for key, value in offered.items() if key in arguments})


SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def short(composed: dict[str, Any]) -> list[str]:
    """Overrides that make a run of a composed experiment short, and fit for a CPU."""
    shape = SHAPES[nodes.component(composed["data"])]
    few = ["data.num_train=40", "data.validation=40", "data.num_test=40", "data.num_autoattack=2", "data.batch_size=20"]
    teachers = [
        f"model.{key}={classifier_folder(10, seed, shape=shape)}"
        for seed, key in enumerate(("teacher", "standard_teacher"))
        if key in composed["model"]
    ]
    cpu = ["trainer=cpu", "trainer.precision=32-true"] if composed["trainer"]["accelerator"] == "gpu" else []
    quick = ["model.network=small_conv", "model.attack_steps=2", "trainer.check_val_every_n_epoch=1", "requires=[]"]
    return [*few, *teachers, *cpu, *quick]
