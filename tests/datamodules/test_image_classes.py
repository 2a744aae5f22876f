"""Anomaly data from labelled pictures: digits, MNIST, Fashion-MNIST, CIFAR-10."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from datamodules.anomaly.cifar10 import CIFAR10
from datamodules.anomaly.digits import Digits
from datamodules.anomaly.fashion_mnist import FashionMNIST
from datamodules.anomaly.image_classes import ImageClasses
from datamodules.anomaly.mnist import MNIST
from lit_unlearn.errors import UserError
from tests.datamodules.image_folders import REAL_DATA, needs_real, write_cifar_folder, write_idx_folder

SMALL = {"num_normal": 20, "contamination": 0.2, "num_labelled": 6, "num_test": 40}
WRITERS = {
    MNIST: ("mnist", write_idx_folder, (1, 28, 28)),
    FashionMNIST: ("fashion_mnist", write_idx_folder, (1, 28, 28)),
    CIFAR10: ("cifar10", write_cifar_folder, (3, 32, 32)),
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("data")
    for folder, write, _ in WRITERS.values():
        write(root / folder)
    return str(root)


def labels_in(x: torch.Tensor) -> list[int]:
    """The generated pictures carry their label in their first value (of the first pixel, where they are in colour)."""
    return (x[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize("data_set", WRITERS)
def test_pictures_go_where_their_class_may_go(data_set: type[ImageClasses], data_root: str):
    data = data_set(data_root=data_root, normal_class=3, unseen_class=7, **SMALL)
    data.setup()
    shape = WRITERS[data_set][2]
    assert data.input_shape == list(shape)
    assert data.unlabeled.dtype == torch.float32
    assert data.unlabeled.shape == (25, *shape)
    assert (data.unlabeled.min(), data.unlabeled.max()) == (0, 1)

    unlabeled, labelled = labels_in(data.unlabeled), labels_in(data.labelled)
    assert np.array_equal(np.array(unlabeled) != 3, data.parts.unlabeled_kind == 1)
    assert unlabeled.count(3) == 20
    assert len(labelled) == 6
    assert not {3, 7} & set(labelled)
    assert 7 not in unlabeled
    kinds = [{3: 0, 7: 2}.get(label, 1) for label in labels_in(data.test.x)]
    assert data.test.kind.tolist() == kinds == [0] * 20 + [1] * 10 + [2] * 10


@pytest.mark.parametrize("data_set", WRITERS)
def test_test_pictures_are_official_test_pictures_and_all_are_what_the_file_holds(data_set, data_root: str):
    """A picture's second to fourth values are its number in its file and 255, whatever was decoded before it."""
    data = data_set(data_root=data_root, num_normal=20, num_labelled=6, num_test=80)
    data.setup()
    images = data.read()
    assert len(images.test) == 200
    rows = np.sort(data.parts.test) - 400
    assert rows.min() >= 0
    official = torch.from_numpy(images.test[rows].astype(np.float32)) / 255
    assert sorted(data.test.x.flatten(1).tolist()) == sorted(official.flatten(1).tolist())
    whole = images.train[:].transpose(0, 2, 3, 1).reshape(400, -1)
    number = np.arange(400)
    assert np.array_equal(whole[:, :4], np.stack([images.train_labels, number // 256, number % 256, [255] * 400], 1))


def test_a_picture_is_the_same_alone_and_among_others(data_root: str):
    images = CIFAR10(data_root=data_root).read()
    rows = np.array([399, 0, 200, 199, 0])  # last and first of both shards, one twice
    assert np.array_equal(images.train[rows], images.train[:][rows])


@pytest.mark.parametrize("data_set", [Digits, MNIST, CIFAR10])
def test_splits_are_a_function_of_the_seed(data_set: type[ImageClasses], data_root: str):
    arguments = SMALL | ({} if data_set is Digits else {"data_root": data_root})
    first, again, other = (data_set(seed=seed, **arguments) for seed in (5, 5, 6))
    for data in (first, again, other):
        data.setup()
    for part in ("unlabeled", "labelled"):
        assert torch.equal(getattr(first, part), getattr(again, part))
        assert not torch.equal(getattr(first, part), getattr(other, part))
    assert torch.equal(first.test.x, again.test.x)
    assert torch.equal(first.validation.x, again.validation.x)


def test_normal_and_unseen_class_must_differ():
    with pytest.raises(UserError) as error:
        Digits(normal_class=4, unseen_class=4)
    assert error.value.lines == [
        "data.unseen_class=4: is the normal class too (data.normal_class=4); choose two different classes of 0 to 9"
    ]


@pytest.mark.parametrize("normal_class", range(10))
def test_digits_defaults_fit_every_class(normal_class: int):
    data = Digits(normal_class=normal_class, unseen_class=(normal_class + 1) % 10, seed=normal_class)
    data.setup()
    assert data.unlabeled.shape == (112, 1, 8, 8)
    assert data.parts.contamination == 12 / 112
    assert len(data.labelled) == 24
    assert data.validation.kind.tolist() == [0] * 22 + [1] * 5
    assert len(data.test.kind) >= 104


def test_digits_are_sixteenths_and_their_split_is_by_class():
    data = Digits()
    images, digits = data.read(), load_digits()
    known = sorted(digits.images.reshape(-1, 64).tolist())
    ours = np.concatenate([images.train[:], images.test[:]]).reshape(-1, 64)
    assert sorted(ours.tolist()) == known
    assert np.bincount(images.train_labels).tolist() == [int(0.7 * n) for n in np.bincount(digits.target)]
    data.setup()
    assert data.unlabeled.max() == 1
    assert torch.equal(data.unlabeled * 16, (data.unlabeled * 16).round())


@pytest.mark.parametrize(
    ("data_set", "normal_class", "num_test", "held_out"),
    [
        pytest.param(MNIST, 5, 1784, 1000, marks=needs_real("mnist")),  # the smallest class: 5421 and 892 pictures
        pytest.param(FashionMNIST, 0, 2000, 1000, marks=needs_real("fashion_mnist")),
        pytest.param(CIFAR10, 0, 2000, 500, marks=needs_real("cifar10")),
    ],
)
def test_defaults_on_the_real_data(data_set, normal_class: int, num_test: int, held_out: int):
    data = data_set(data_root=REAL_DATA, normal_class=normal_class)
    data.setup()
    assert np.bincount(data.parts.unlabeled_kind).tolist() == [4500, 250]
    assert len(data.labelled) == 250
    assert len(data.test.kind) == num_test
    assert len(data.validation.kind) == held_out
    assert (data.unlabeled.min(), data.unlabeled.max()) == (0, 1)


@needs_real("fashion_mnist")
def test_real_pictures_are_upright_and_bright_where_clothes_are():
    images = FashionMNIST(data_root=REAL_DATA).read()
    assert Path(REAL_DATA, "fashion_mnist").is_dir()
    assert np.bincount(images.train_labels).tolist() == [6000] * 10
    trousers = images.train[np.flatnonzero(images.train_labels == images.class_names.index("Trouser"))].mean(
        axis=(0, 1)
    )
    assert trousers[:, 10:18].mean() > 3 * trousers[:, :6].mean()  # upright: legs in the middle columns
