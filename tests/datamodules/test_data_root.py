"""Downloading an absent data set: complete or not at all, never over what is there, and no wait without a network."""

import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from datamodules.images import Images, read_cifar10, read_fashion_mnist, read_mnist
from lit_unlearn.errors import UserError
from tests.datamodules.image_folders import labels_of, pictures_of

HUB = {
    read_mnist: ("mnist", "ylecun/mnist", "image", (28, 28)),
    read_fashion_mnist: ("fashion_mnist", "zalando-datasets/fashion_mnist", "image", (28, 28)),
    read_cifar10: ("cifar10", "uoft-cs/cifar10", "img", (32, 32, 3)),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub with ten training and ten test pictures of each data set; lists what was asked for."""
    import datasets

    asked = []

    def load_dataset(repository: str, cache_dir: str) -> datasets.DatasetDict:
        asked.append(repository)
        column, shape = next((column, shape) for _, name, column, shape in HUB.values() if name == repository)
        labels = labels_of(10)
        rows = {column: [Image.fromarray(picture) for picture in pictures_of(labels, shape)], "label": labels.tolist()}
        features = datasets.Features({column: datasets.Image(), "label": datasets.ClassLabel(num_classes=10)})
        part = datasets.Dataset.from_dict(rows, features=features)
        return datasets.DatasetDict(train=part, test=part)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, repository, timeout: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    return asked


@pytest.mark.parametrize("read", HUB)
def test_an_absent_data_set_is_downloaded_once(read, hub: list[str], tmp_path: Path):
    folder, repository, _, shape = HUB[read]
    root = tmp_path / "not" / "yet"
    images: Images = read(str(root))
    pictures = pictures_of(labels_of(10), shape)
    expected = pictures[:, None] if len(shape) == 2 else pictures.transpose(0, 3, 1, 2)
    for part, labels in ((images.train, images.train_labels), (images.test, images.test_labels)):
        assert np.array_equal(part[:], expected)
        assert labels.tolist() == labels_of(10).tolist()
    read(str(root))
    assert hub == [repository]
    assert [path.name for path in root.iterdir()] == [folder]  # and nothing else left behind


def test_a_folder_that_is_there_is_not_written_to(hub: list[str], tmp_path: Path):
    (tmp_path / "mnist").mkdir()
    with pytest.raises(UserError, match="lacks train-images"):
        read_mnist(str(tmp_path))
    assert hub == []
    assert not list((tmp_path / "mnist").iterdir())


def test_a_download_that_fails_leaves_nothing(hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, values: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("datamodules.images.write_idx", full)
    with pytest.raises(UserError, match=r"not downloaded: No space left on device\); get them from"):
        read_mnist(str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_offline_is_respected(switch: str, hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(switch, "1")
    with pytest.raises(UserError, match=f"not downloaded: {switch} is set"):
        read_mnist(str(tmp_path))
    assert hub == []


def test_without_network_the_data_set_is_not_waited_for(
    hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unreachable(self, repository: str, timeout: float) -> None:
        raise OSError("Name or service not known\nmore lines")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"not downloaded: Name or service not known\); get") as error:
        read_cifar10(str(tmp_path / "new"))
    assert time.monotonic() - start < 5
    assert len(error.value.lines) == 1
    assert hub == []
    assert not (tmp_path / "new").exists()
