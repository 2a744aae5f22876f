"""Small generated pictures for the diffusion domain, tiny networks, and its methods as experiments/method/*.yaml have
them."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from omegaconf import OmegaConf

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.images import Images
from lit_unlearn import config, nodes
from lit_unlearn.networks.denoiser import UNet, new_unet, save_pipeline

SHAPE, NUM_CLASSES = [1, 4, 4], 4
TINY: UNet = {
    "channels": [8, 8],
    "layers": 1,
    "attention": 0,
    "groups": 4,
    "dropout": 0.0,
    "conditional": False,
    "prediction": "epsilon",
    "schedule": "linear",
    "timesteps": 100,
}
METHODS = [
    name
    for name in config.choices("method")
    if "_target_: lit_unlearn.methods.diffusion." in (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
]
CHEAP = {"fisher_samples": 4, "rehearsed": 16, "filter_steps": 5, "start_steps": 3, "attack_steps": 2}
"""Values of arguments that cost time before the first step."""


class Generated(DiffusionDataModule):
    """Pictures of four classes, each a random pattern with noise; class 3 is sensitive.

    Args:
        others: see `DiffusionDataModule`; the defaults give three batches an epoch.
    """

    def __init__(self, **others: Any):
        small = {"sensitive": [3], "contamination": 0.1, "batch_size": 40, "labelled_batch_size": 10}
        small |= {"num_normal": 99, "num_labelled": 20, "num_samples": 30, "judge_steps": 30, "attack_steps": 3}
        super().__init__(**small | others)

    def read(self) -> Images:
        rng = np.random.default_rng(0)
        pattern = rng.uniform(40, 215, (NUM_CLASSES, *SHAPE))
        labels = np.arange(300) % NUM_CLASSES
        x = (pattern[labels] + 10 * rng.normal(size=(len(labels), *SHAPE))).clip(0, 255).astype(np.uint8)
        return Images(x[:200], labels[:200], x[200:], labels[200:], ("a", "b", "c", "d"))


@functools.cache
def pipeline_folder(
    conditional: bool, shape: tuple[int, ...] = tuple(SHAPE), num_classes: int = NUM_CLASSES, timesteps: int = 100
) -> str:
    """A pipeline of a tiny random U-Net, there until the tests end."""
    folder = tempfile.TemporaryDirectory()
    _kept.append(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_pipeline(
            Path(folder.name),
            *new_unet({**TINY, "conditional": conditional, "timesteps": timesteps}, shape, num_classes),
        )
    return folder.name


_kept: list[tempfile.TemporaryDirectory[str]] = []


def method_node(name: str, **values: Any) -> dict[str, Any]:
    """The method's configuration with a tiny network: from scratch where it can be, else conditional from a folder."""
    group = OmegaConf.load(config.EXPERIMENTS / "method" / f"{name}.yaml")
    whole = OmegaConf.create({"method": group, "model": {}, "data": {"contamination": 0.1}})
    resolved: Any = OmegaConf.to_container(whole, resolve=True)
    node = resolved["method"]
    arguments = nodes.arguments_of(nodes.imported(node["_target_"]))
    from_scratch = {"path": None, "unet": dict(TINY)}
    node["model"] = {"path": pipeline_folder(True), "unet": None} if takes_a_class(name) else from_scratch
    if needs_prompts(name):
        from tests.text_to_image_data import PROMPTS, text_to_image_folder

        node |= {"model": {"path": text_to_image_folder(), "unet": None}, "prompts": PROMPTS}
    if node.get("sensitive_timesteps"):
        node["sensitive_timesteps"] = [10, 60]
    node |= {"sampling_steps": 3} | {key: value for key, value in CHEAP.items() if key in arguments}
    return node | {"input_shape": SHAPE, "num_classes": NUM_CLASSES, "sensitive_classes": [3]} | values


def takes_a_class(name: str) -> bool:
    """Whether a method changes a trained class-conditional model."""
    from lit_unlearn.methods.diffusion.unlearner import Unlearner

    return issubclass(config.method_class(name), Unlearner)


def needs_prompts(name: str) -> bool:
    """Whether a method changes text-to-image pipelines alone."""
    return nodes.arguments_of(config.method_class(name))["prompts"][1] is ...


def build_method(name: str, seed: int = 0, **values: Any) -> LightningModule:
    torch.manual_seed(seed)
    return nodes.build(method_node(name, **values))


def small(composed: dict[str, Any]) -> list[str]:
    """Overrides that make a run of a composed experiment short."""
    arguments = nodes.arguments_of(nodes.imported(composed["method"]["_target_"]))
    own = [f"method.{key}={value}" for key, value in CHEAP.items() if key in arguments]
    data = ["data.num_samples=24", "data.judge_steps=5", "data.attack_steps=1", "data.batch_size=16"]
    data += [
        "data.labelled_batch_size=8",
        "data.num_normal=80",
        "data.num_labelled=8",
        "method.sampling_steps=2",
        "requires=[]",
        "trainer.accelerator=cpu",
    ]
    data += ["callbacks.samples.every_n_epochs=1", "callbacks.samples.num_samples=8", "callbacks.samples.shown=8"]
    if composed["experiment"].endswith("/text_to_image") or "/text_to_image-" in composed["experiment"]:
        from tests.text_to_image_data import small_text_to_image

        return [*data, *own, *small_text_to_image()]
    if composed["model"]["path"] is None:
        return [*data, *own, "model.unet.channels=[8]", "model.unet.groups=4", "model.unet.attention=0"]
    needs_class = "digits" in composed["experiment"] and composed["experiment"].startswith("esd")
    return [*data, *own, f"model.path={digits_pipeline(needs_class)}"]


def digits_pipeline(conditional: bool) -> str:
    return pipeline_folder(conditional, (1, 8, 8), 10, timesteps=1000)
