"""Arrays from npz files that were written by others: nothing in them is executed, every damage is named."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_unlearn.errors import UserError


def read_npz(path: Path, name: str) -> dict[str, NDArray]:
    """All arrays of an npz file, by name.

    Args:
        path: the file.
        name: what an error calls it.

    Raises:
        UserError: the file is absent, cut short, not npz, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{name}: cannot be read as npz ({error}); save it with numpy.savez(file, X=array)") from error


def finite_float32(x: NDArray, name: str) -> NDArray[np.float32]:
    """The numbers of a table or of pictures as float32.

    Args:
        x: (N, ...) array.
        name: what an error calls it, a file.

    Raises:
        UserError: not numbers, or one that is NaN, infinite or beyond float32; its row is named.
    """
    if x.dtype.kind not in "biuf":
        raise UserError(f"{name}: values of type {x.dtype}, must be numbers")
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
    if len(bad):
        raise UserError(
            f"{name}: row {bad[0]} (the first is 0) holds NaN, an infinite or a too large number ({len(bad)} of "
            f"{len(x)} rows do); remove the rows or fill the values in"
        )
    return x
