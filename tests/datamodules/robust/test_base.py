"""Labelled pictures: the split, what is held out, batches, statistics, and the official layouts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.images import read_cifar10, read_fashion_mnist, read_mnist
from datamodules.robust.cifar10 import CIFAR10
from datamodules.robust.digits import Digits
from datamodules.robust.fashion_mnist import FashionMNIST
from datamodules.robust.mnist import MNIST
from lit_unlearn.errors import UserError
from tests.datamodules import image_folders
from tests.robust_data import Patterns


def set_up(data):
    data.setup()
    return data


def test_held_out_pictures_are_not_trained_on_and_the_test_is_whole():
    data = set_up(Digits(seed=3))
    assert (len(data.train), len(data.validation), len(data.test)) == (1000, 252, 545)
    every = torch.cat([part.pictures for part in (data.train, data.validation, data.test)]).flatten(1)
    from sklearn.datasets import load_digits

    theirs = torch.from_numpy(load_digits().data.astype(np.uint8))
    assert torch.equal(torch.unique(every, dim=0), torch.unique(theirs, dim=0)) and len(every) == 1797


def test_the_seed_draws_the_split_and_the_first_test_pictures_are_of_all_classes():
    one, same, other = (set_up(Digits(seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(one.validation.pictures, same.validation.pictures)
    assert not torch.equal(one.validation.pictures, other.validation.pictures)
    assert len(one.test.labels[:60].unique()) == 10


def test_pictures_lie_in_the_unit_range_and_statistics_are_theirs():
    data = set_up(Digits())
    x, y = data.train.all()
    assert x.dtype == torch.float32 and y.dtype == torch.int64 and x.min() == 0 and x.max() == 1
    assert data.mean == pytest.approx([x.double().mean().item()], abs=1e-6)
    assert data.std == pytest.approx([x.double().std(correction=0).item()], abs=1e-6)


def test_an_epoch_meets_each_picture_once_in_an_order_of_the_epoch():
    data = set_up(Patterns(batch_size=25))
    loader = data.train_dataloader()
    orders = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        assert [len(batch.y) for batch in batches] == [20, 20, 20]
        orders.append(torch.cat([batch.x for batch in batches]))
    whole = data.train.all().x
    assert not torch.equal(*orders)
    for order in orders:
        assert torch.equal(torch.unique(order.flatten(1), dim=0), torch.unique(whole.flatten(1), dim=0))


def test_evaluation_keeps_the_order():
    data = set_up(Patterns())
    batches = list(data.evaluation_loader(data.test, batch_size=15))
    assert [len(batch.y) for batch in batches] == [15, 15, 10]
    assert torch.equal(torch.cat([batch.x for batch in batches]), data.test.all().x)


def test_fewer_pictures():
    data = set_up(Patterns(num_train=30, num_test=12, validation=0))
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 0, 12)
    assert data.val_dataloader() == []
    assert torch.equal(data.test.pictures, set_up(Patterns()).test.pictures[:12])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"validation": 80}, "data.validation=80: there are 80 training pictures; hold out fewer"),
        ({"num_train": 61}, "data.num_train=61: 60 training pictures are left after data.validation=20"),
    ],
)
def test_too_many_asked_for(values, line):
    with pytest.raises(UserError, match=line):
        Patterns(**values).setup()


@pytest.mark.parametrize(
    ("cls", "reader", "name", "write"),
    [
        (MNIST, read_mnist, "mnist", image_folders.write_idx_folder),
        (FashionMNIST, read_fashion_mnist, "fashion_mnist", image_folders.write_idx_folder),
        (CIFAR10, read_cifar10, "cifar10", image_folders.write_cifar_folder),
    ],
)
def test_official_layouts(cls, reader, name, write, tmp_path: Path):
    """The first value of a picture is its label, the next two its number: labels stay with their pictures."""
    write(tmp_path / name)
    data = set_up(cls(data_root=str(tmp_path), validation=100))
    assert (len(data.train), len(data.validation), len(data.test)) == (300, 100, 200)
    assert data.input_shape == list(reader(str(tmp_path)).train[:1].shape[1:]) and data.num_classes == 10
    parts = (data.train, data.validation, data.test)
    if name != "cifar10":  # there the first value is a colour of the first pixel
        for part in parts:
            assert torch.equal(part.pictures.flatten(1)[:, 0].long(), part.labels)
    images = reader(str(tmp_path))
    assert torch.equal(data.test.pictures, torch.from_numpy(images.test[:]))
    assert torch.equal(data.test.labels, torch.from_numpy(images.test_labels))


def test_absent_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="no folder .*fashion_mnist with train-images"):
        FashionMNIST(data_root=str(tmp_path)).setup()
