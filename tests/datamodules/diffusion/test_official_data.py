"""Data sets read from a generated copy of their official layout, and from the real files where they are."""

from pathlib import Path

import pytest

from datamodules.diffusion.cifar10 import CIFAR10
from datamodules.diffusion.fashion_mnist import FashionMNIST
from datamodules.diffusion.mnist import MNIST
from tests.datamodules.image_folders import REAL_DATA, needs_real, write_cifar_folder, write_idx_folder

GENERATED = {
    "mnist": (MNIST, [1, 28, 28]),
    "fashion_mnist": (FashionMNIST, [1, 28, 28]),
    "cifar10": (CIFAR10, [3, 32, 32]),
}


@pytest.mark.parametrize("name", GENERATED)
def test_from_the_official_layout(name: str, tmp_path: Path):
    write = write_cifar_folder if name == "cifar10" else write_idx_folder
    write(tmp_path / name)
    cls, shape = GENERATED[name]
    data = cls(data_root=str(tmp_path), sensitive=[1, 2, 3], num_normal=100)
    data.setup()
    assert data.input_shape == shape and data.num_classes == 10
    assert set(data.unlabeled.y.tolist()) == set(range(10))
    # The generated pictures carry their label in their first value.
    first = ((data.unlabeled.x.flatten(1)[:, 0] + 1) * 127.5).round().long()
    if name != "cifar10":
        assert first.tolist() == data.unlabeled.y.tolist()


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_real(name)) for name in GENERATED])
def test_the_real_files(name: str):
    cls, shape = GENERATED[name]
    data = cls(data_root=REAL_DATA, sensitive=[1, 2, 3], num_normal=1000)
    data.setup()
    assert data.input_shape == shape and len(data.judge_test.y) == 10000
    assert data.realised == pytest.approx(1 / 11, abs=1e-3)
