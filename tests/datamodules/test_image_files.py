"""Image files that are missing, damaged or not what their name says: one line each that names the file."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datamodules.idx import read_idx, write_idx
from datamodules.images import read_cifar10, read_mnist
from lit_unlearn.errors import UserError
from tests.datamodules.image_folders import encoded, write_cifar_folder, write_idx_folder, write_shard

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
SHARD = "plain_text/train-00001-of-00002.parquet"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def one_line(read: Callable[[str], object], root: Path) -> str:
    with pytest.raises(UserError) as error:
        read(str(root))
    (line,) = error.value.lines
    assert "\n" not in line
    return line


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def test_no_folder(tmp_path: Path):
    line = one_line(read_mnist, tmp_path)
    assert line.startswith(f"data_root={tmp_path}: no folder {tmp_path}/mnist with train-images-idx3-ubyte.gz, ")
    assert "t10k-labels-idx1-ubyte.gz" in line
    assert "get them from https://" in line
    assert not list(tmp_path.iterdir())


def test_one_file_missing(tmp_path: Path):
    (write_idx_folder(tmp_path / "mnist") / LABELS).unlink()
    line = one_line(read_mnist, tmp_path)
    assert f"folder {tmp_path}/mnist lacks {LABELS}; get" in line


def test_one_shard_missing(tmp_path: Path):
    (write_cifar_folder(tmp_path / "cifar10") / SHARD).unlink()
    assert f"lacks {SHARD}; get" in one_line(read_cifar10, tmp_path)


def test_plain_files_are_read_too(tmp_path: Path):
    folder = write_idx_folder(tmp_path / "mnist")
    expected = read_mnist(str(tmp_path))
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    found = read_mnist(str(tmp_path))
    assert np.array_equal(found.train[:], expected.train[:])
    assert np.array_equal(found.test_labels, expected.test_labels)


def test_idx_bytes_worked_out_by_hand(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    assert read_idx(tmp_path / "a", ndim=2).tolist() == [[1, 2, 3], [4, 5, 6]]
    write_idx(tmp_path / "b.gz", np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    assert gzip.decompress((tmp_path / "b.gz").read_bytes()) == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cut short or damaged"),
        (lambda path: path.write_bytes(b""), "starts with bytes none"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "cut short or damaged (Not a gzipped file"),
        (
            lambda path: rewrite(path, lambda content: content[:-7]),
            "holds 313593 values and its header says 400 x 28 x 28",
        ),
        (lambda path: rewrite(path, lambda content: content + b"x"), "holds 313601 values"),
        (lambda path: rewrite(path, lambda content: content[:9]), "cut short after 9 bytes"),
        (lambda path: rewrite(path, lambda content: b"PK" + content[2:]), "starts with bytes 504b0803"),
        (
            lambda path: write_idx(path, np.zeros(400, np.uint8)),
            "starts with bytes 00000801, an idx file of 3 dimensions",
        ),
        (lambda path: write_idx(path, np.zeros((400, 32, 28), np.uint8)), "pictures of 28x32 pixels, must be 28x28"),
    ],
)
def test_damaged_idx_pictures(tmp_path: Path, damage: Callable[[Path], None], message: str):
    path = write_idx_folder(tmp_path / "mnist") / IMAGES
    damage(path)
    line = one_line(read_mnist, tmp_path)
    assert line.startswith(f"{path}: ")
    assert message in line


def test_more_pictures_than_labels(tmp_path: Path):
    path = write_idx_folder(tmp_path / "mnist") / LABELS
    write_idx(path, np.zeros(399, np.uint8))
    assert one_line(read_mnist, tmp_path).startswith(f"{path}: 399 labels for the 400 pictures of {IMAGES}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cut short, damaged or without"),
        (lambda path: path.write_bytes(b""), "cut short, damaged or without"),
        (lambda path: write_shard(path, [b"\x00"] * 200, [0] * 200), "picture 0 (the first is 0) cannot be decoded"),
        (
            lambda path: write_shard(path, [encoded(np.zeros((16, 32, 3), np.uint8))] * 200, [0] * 200),
            "picture 0 (the first is 0) has 32x16 pixels, must have 32x32",
        ),
    ],
)
def test_damaged_parquet_pictures(tmp_path: Path, damage: Callable[[Path], None], message: str):
    path = write_cifar_folder(tmp_path / "cifar10") / SHARD
    damage(path)
    line = one_line(lambda root: read_cifar10(root).train[:], tmp_path)
    assert line.startswith(f"{path}: ")
    assert message in line


@pytest.mark.parametrize(
    "columns",
    [
        {"img": [1, 2], "label": [0, 1]},
        {"image": [1, 2], "label": [0, 1]},
        {"img": [{"path": "a"}], "label": [0]},
        {"img": [{"bytes": b"a"}], "fine_label": [0]},
        {"img": [{"bytes": b"a"}], "label": ["cat"]},
        {"img": [{"bytes": b"a"}], "label": [None]},
    ],
)
def test_parquet_with_other_columns(tmp_path: Path, columns: dict[str, list]):
    path = write_cifar_folder(tmp_path / "cifar10") / SHARD
    pq.write_table(pa.table(columns), path)
    line = one_line(read_cifar10, tmp_path)
    assert line.startswith(f"{path}: ")
    assert "without pictures in 'img' and labels in 'label'" in line
