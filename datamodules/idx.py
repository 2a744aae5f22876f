"""The idx format of MNIST: two zero bytes, a type, the number of dimensions, their sizes, the values."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_unlearn.errors import UserError

UNSIGNED_BYTE = 8


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """An array of bytes.

    Args:
        path: the file; gzipped if its name ends in `.gz`.
        ndim: number of dimensions it must have.

    Raises:
        UserError: the file cannot be read, is not idx, or is cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); get the file anew") from error
    magic, header = bytes([0, 0, UNSIGNED_BYTE, ndim]), 4 + 4 * ndim
    if content[:4] != magic:
        raise UserError(
            f"{path}: starts with bytes {content[:4].hex() or 'none'}, an idx file of {ndim} dimensions starts with "
            f"{magic.hex()}; get the file anew"
        )
    if len(content) < header:
        raise UserError(f"{path}: cut short after {len(content)} bytes; get the file anew")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    values = np.frombuffer(content, np.uint8, offset=header)
    if len(values) != math.prod(shape):
        raise UserError(
            f"{path}: holds {len(values)} values and its header says {' x '.join(map(str, shape))}; get the file anew"
        )
    return values.reshape(shape)


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Writes a gzipped idx file."""
    header = bytes([0, 0, UNSIGNED_BYTE, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes(), mtime=0))
