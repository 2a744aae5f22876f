"""Labelled pictures in the Hugging Face parquet layout: each picture's file as bytes, and the number of its class."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from lit_unlearn.errors import UserError


class ParquetPictures:
    """Colour pictures that stay encoded until they are indexed (0.2 ms each for WebP of 32x32).

    Args:
        paths: parquet files, in order.
        columns: bytes of the pictures' files, one column a parquet file.
        shape: (3, H, W) of every picture.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[pa.ChunkedArray], shape: tuple[int, int, int]):
        self.paths, self.columns, self.shape = paths, columns, shape
        self.ends = np.cumsum([len(column) for column in columns])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """(n, 3, H, W) pictures of n rows.

        Raises:
            UserError: a picture cannot be decoded or has another size.
        """
        chosen = np.arange(len(self))[rows]
        pictures = np.empty((len(chosen), *self.shape), np.uint8)
        for picture, row in zip(pictures, chosen, strict=True):
            picture[:] = self._decode(row)
        return pictures

    def _decode(self, row: int) -> NDArray[np.uint8]:
        part = int(np.searchsorted(self.ends, row, side="right"))
        first = self.ends[part] - len(self.columns[part])
        content = self.columns[part][int(row - first)].as_py()
        name, (height, width) = f"{self.paths[part]}: picture {row - first}", self.shape[1:]
        try:
            with Image.open(io.BytesIO(content)) as image:
                size, pixels = image.size, np.asarray(image.convert("RGB"))
        except (OSError, TypeError) as error:
            raise UserError(f"{name} (the first is 0) cannot be decoded; get the file anew") from error
        if size != (width, height):
            raise UserError(f"{name} (the first is 0) has {size[0]}x{size[1]} pixels, must have {width}x{height}")
        return pixels.transpose(2, 0, 1)


def missing_shards(folder: Path, parts: Sequence[str]) -> list[str]:
    """Names of the parquet files that a folder lacks; `PART-00001-of-00005.parquet` says how many there must be."""
    missing = []
    for part in parts:
        found = {path.name for path in folder.glob(f"{part}-*-of-*.parquet")}
        count = max((int(name.removesuffix(".parquet").rsplit("-of-")[1]) for name in found), default=1)
        missing += [name for i in range(count) if (name := f"{part}-{i:05}-of-{count:05}.parquet") not in found]
    return missing


def read_parquet(
    folder: Path, part: str, picture_column: str, label_column: str, shape: tuple[int, int, int]
) -> tuple[ParquetPictures, NDArray[np.int64]]:
    """Pictures and (N,) labels of one part (`train`, `test`) of a data set, in the order of its shards.

    Raises:
        UserError: a file is cut short, is not parquet or lacks a column.
    """
    paths = sorted(folder.glob(f"{part}-*-of-*.parquet"))
    columns, labels = [], []
    for path in paths:
        try:
            table = pq.read_table(path)
            columns.append(pc.struct_field(table[picture_column], "bytes"))
            labels.append(np.array(table[label_column].to_pylist(), np.int64))
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise UserError(
                f"{path}: cut short, damaged or without pictures in '{picture_column}' and labels in "
                f"'{label_column}' ({str(error).splitlines()[0]}); get the file anew"
            ) from error
    return ParquetPictures(paths, columns, shape), np.concatenate(labels)
