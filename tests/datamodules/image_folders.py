"""Small image data sets in their official layouts, and where the real ones are."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datamodules.idx import write_idx

REAL_DATA = os.environ.get("LIT_UNLEARN_DATA", "")


def needs_real(folder: str) -> pytest.MarkDecorator:
    """Skips a test where the real data set is not there; the generated ones are tested everywhere."""
    absent = not (REAL_DATA and (Path(REAL_DATA) / folder).is_dir())
    return pytest.mark.skipif(absent, reason=f"LIT_UNLEARN_DATA names no folder that holds {folder}")


def labels_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).permutation(np.arange(count) % 10)


def pictures_of(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures with their label in the first value and their number in the next two."""
    pictures = np.zeros((len(labels), *shape), np.uint8)
    flat = pictures.reshape(len(labels), -1)
    number = np.arange(len(labels))
    flat[:, 0], flat[:, 1], flat[:, 2], flat[:, 3] = labels, number // 256, number % 256, 255
    return pictures


def write_idx_folder(folder: Path, train: int = 400, test: int = 200) -> Path:
    folder.mkdir(parents=True)
    for name, count in (("train", train), ("t10k", test)):
        labels = labels_of(count)
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", pictures_of(labels, (28, 28)))
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    return folder


def encoded(picture: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format)
    return buffer.getvalue()


def write_shard(path: Path, pictures: list[bytes], labels: list[int]) -> None:
    rows = [{"bytes": content, "path": None} for content in pictures]
    columns = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"img": columns, "label": pa.array(labels, pa.int64())}), path)


def write_cifar_folder(folder: Path, train: int = 400, test: int = 200) -> Path:
    """Two shards for training, one for the test."""
    shards = folder / "plain_text"
    shards.mkdir(parents=True)
    for part, count, number in (("train", train, 2), ("test", test, 1)):
        labels = labels_of(count)
        pictures = [encoded(picture) for picture in pictures_of(labels, (32, 32, 3))]
        for i, rows in enumerate(np.array_split(np.arange(count), number)):
            path = shards / f"{part}-{i:05}-of-{number:05}.parquet"
            write_shard(path, [pictures[row] for row in rows], labels[rows].tolist())
    return folder
