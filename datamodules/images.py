"""Labelled image data sets, read from the layouts their own distributions use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datamodules.data_root import Source, locate
from datamodules.idx import read_idx, write_idx
from datamodules.parquet import missing_shards, read_parquet
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import derived_seed

Labels = NDArray[np.int64]


class Pictures(Protocol):
    """Pictures that may still be encoded: row numbers or a slice give (n, C, H, W) uint8. Arrays are such."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.int64] | slice, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Images:
    """A labelled image data set and its split.

    Attributes:
        train, test: pictures, N of (C, H, W) uint8.
        train_labels, test_labels: (N,) int64, numbers of `class_names`.
        class_names: name of each class.
        white: the largest grey level: pictures / white lie in [0, 1].
    """

    train: Pictures
    train_labels: Labels
    test: Pictures
    test_labels: Labels
    class_names: tuple[str, ...]
    white: int = 255


def read_digits(seed: int, train_share: float = 0.7) -> Images:
    """scikit-learn's digits: 1797 of 8x8, grey levels 0 to 16 (UCI, Alpaydin and Kaynak, 1998); needs no file.

    There is no official split: the seed draws one, with `train_share` of each class for training.
    """
    from sklearn.datasets import (
        load_digits,  # a second to import, which no other data set needs
    )

    digits = load_digits()
    pictures, labels = digits.images[:, None].astype(np.uint8), digits.target.astype(np.int64)
    rng = np.random.default_rng(derived_seed("digits", seed))
    classes = [rng.permutation(np.flatnonzero(labels == number)) for number in range(10)]
    train = np.concatenate([rows[: int(train_share * len(rows))] for rows in classes])
    test = np.concatenate([rows[int(train_share * len(rows)) :] for rows in classes])
    return Images(pictures[train], labels[train], pictures[test], labels[test], tuple("0123456789"), white=16)


def read_mnist(data_root: str) -> Images:
    """MNIST: 60,000 + 10,000 handwritten digits of 28x28, grey (LeCun, Cortes, Burges, 1998).

    Raises:
        UserError: the data are absent or damaged.
    """
    page = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    return _read_idx_images(data_root, "mnist", page, "ylecun/mnist", tuple("0123456789"))


def read_fashion_mnist(data_root: str) -> Images:
    """Fashion-MNIST: 60,000 + 10,000 clothes of 28x28, grey (Xiao et al., arXiv 1708.07747).

    Raises:
        UserError: the data are absent or damaged.
    """
    page = "https://github.com/zalandoresearch/fashion-mnist"
    names = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    return _read_idx_images(data_root, "fashion_mnist", page, "zalando-datasets/fashion_mnist", tuple(names.split(",")))


def read_cifar10(data_root: str) -> Images:
    """CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 (Krizhevsky, 2009), decoded as they are asked for.

    Raises:
        UserError: the data are absent or damaged.
    """

    def missing(folder: Path) -> list[str]:
        return [f"plain_text/{name}" for name in missing_shards(folder / "plain_text", ["train", "test"])]

    def write(dataset: Any, folder: Path) -> None:
        (folder / "plain_text").mkdir()
        for part in ("train", "test"):
            dataset[part].to_parquet(folder / "plain_text" / f"{part}-00000-of-00001.parquet")

    page, repository = "https://huggingface.co/datasets/uoft-cs/cifar10", "uoft-cs/cifar10"
    folder = locate(data_root, Source("cifar10", missing, page, repository, write)) / "plain_text"
    train, train_labels = read_parquet(folder, "train", "img", "label", (3, 32, 32))
    test, test_labels = read_parquet(folder, "test", "img", "label", (3, 32, 32))
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    return Images(train, train_labels, test, test_labels, tuple(names.split()))


IDX_NAMES = {"train": "train", "test": "t10k"}


def _read_idx_images(data_root: str, folder: str, page: str, repository: str, class_names: tuple[str, ...]) -> Images:
    source = Source(folder, _missing_idx, page, repository, _write_idx_images)
    path = locate(data_root, source)
    (train, train_labels), (test, test_labels) = (_read_idx_pair(path, part) for part in ("train", "test"))
    return Images(train, train_labels, test, test_labels, class_names)


def _idx_file(folder: Path, part: str, kind: str) -> Path:
    """The gzipped file, or the plain one where only that is there."""
    gzipped = folder / f"{IDX_NAMES[part]}-{kind}-ubyte.gz"
    plain = gzipped.with_suffix("")
    return plain if plain.is_file() and not gzipped.is_file() else gzipped


def _missing_idx(folder: Path) -> list[str]:
    files = [_idx_file(folder, part, kind) for part in IDX_NAMES for kind in ("images-idx3", "labels-idx1")]
    return [path.name for path in files if not path.is_file()]


def _read_idx_pair(folder: Path, part: str) -> tuple[NDArray[np.uint8], Labels]:
    pictures_file, labels_file = _idx_file(folder, part, "images-idx3"), _idx_file(folder, part, "labels-idx1")
    pictures, labels = read_idx(pictures_file, ndim=3), read_idx(labels_file, ndim=1)
    if pictures.shape[1:] != (28, 28):
        height, width = pictures.shape[1:]
        raise UserError(f"{pictures_file}: pictures of {width}x{height} pixels, must be 28x28; get the file anew")
    if len(pictures) != len(labels):
        raise UserError(
            f"{labels_file}: {len(labels)} labels for the {len(pictures)} pictures of {pictures_file.name}; "
            "get both files anew"
        )
    return pictures[:, None], labels.astype(np.int64)


def _write_idx_images(dataset: Any, folder: Path) -> None:
    for part in IDX_NAMES:
        pictures = np.stack([np.asarray(picture) for picture in dataset[part]["image"]])
        write_idx(_idx_file(folder, part, "images-idx3"), pictures)
        write_idx(_idx_file(folder, part, "labels-idx1"), np.array(dataset[part]["label"], np.uint8))
