"""A user's new data, to be scored by a trained detector: an npz file, a csv file, or a folder of pictures."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.npz import finite_float32, read_npz
from lit_unlearn.errors import UserError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
FLOAT32_MAX = float(np.finfo(np.float32).max)


def read_items(path: str, input_shape: Sequence[int]) -> tuple[list[str], NDArray[np.float32]]:
    """Reads items to be scored. Tables come as they are: the data module that trained the detector scales them.

    Args:
        path: `FILE.npz` with the array `X`, or a single array: (N, *input_shape), pictures also (N, H, W) or
            (N, H, W, C), either uint8 or in [0, 1]; `FILE.csv` of numbers, with a header or without; or a folder of
            pictures (png, jpg, webp, bmp), taken in the order of their names.
        input_shape: (C, H, W) with 1 or 3 channels, or (F,).

    Returns:
        a name for each item (its file, or its row counted from 0) and the items, (N, *input_shape) float32.

    Raises:
        UserError: the path, a file, a row or a picture is not as described; it is named.
    """
    source, shape = Path(path).expanduser(), tuple(input_shape)
    if not source.exists():
        raise UserError(f"input={path}: no such file or folder")
    if source.is_dir():
        return _read_folder(source, shape)
    match source.suffix.lower():
        case ".npz":
            x = _read_array(source, shape)
        case ".csv":
            x = _read_csv(source, shape)
        case suffix:
            raise UserError(
                f"input={path}: files of type '{suffix}' are not read; give .npz, .csv or a folder of pictures"
            )
    return [str(row) for row in range(len(x))], x


def _read_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    arrays = read_npz(path, f"input={path}")
    if "X" not in arrays and len(arrays) != 1:
        raise UserError(f"input={path}: no array X; it holds {', '.join(arrays) or 'nothing'}; save it with X=...")
    x = arrays["X"] if "X" in arrays else next(iter(arrays.values()))
    if len(shape) == 3:
        return _pictures(path, x, shape)
    if x.ndim == 0 or x.shape[1:] != shape or len(x) == 0:
        raise UserError(f"input={path}: shape {x.shape}, the detector takes {_layout(shape)}")
    return finite_float32(x, f"input={path}")


def _pictures(path: Path, x: NDArray, shape: tuple[int, ...]) -> NDArray[np.float32]:
    channels, height, width = shape
    if channels == 1 and x.shape[1:] == (height, width):
        x = x[:, None]
    elif x.shape[1:] == (height, width, channels) and x.shape[1:] != shape:
        x = x.transpose(0, 3, 1, 2)
    if x.ndim == 0 or x.shape[1:] != shape or len(x) == 0:
        raise UserError(
            f"input={path}: shape {x.shape}, the detector takes {_layout(shape)}, "
            f"(N, {height}, {width}, {channels})" + (f" or (N, {height}, {width})" if channels == 1 else "")
        )
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255)
    x = finite_float32(x, f"input={path}")
    if x.min() < 0 or x.max() > 1:
        raise UserError(
            f"input={path}: values from {x.min():g} to {x.max():g}, pictures must lie in [0, 1] or be uint8; scale them"
        )
    return x


def _read_csv(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if len(shape) != 1:
        raise UserError(f"input={path}: a csv file holds tables, the detector takes pictures {_layout(shape)}")
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                numbers = [_number(cell) for cell in cells]
                is_header = reader.line_num == 1 and all(number is None for number in numbers)
                if not cells or is_header:
                    continue
                where = f"input={path}: line {reader.line_num}"
                if len(cells) != shape[0]:
                    raise UserError(f"{where} has {len(cells)} columns, the detector takes {shape[0]}")
                for cell, number in zip(cells, numbers, strict=True):
                    if number is None or not abs(number) <= FLOAT32_MAX:
                        raise UserError(
                            f"{where} holds '{cell}', must be a finite number; remove the line or fill it in"
                        )
                rows.append(numbers)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"input={path}: cannot be read as csv ({error})") from error
    if not rows:
        raise UserError(f"input={path}: no row of numbers in it")
    return np.array(rows, np.float32)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _read_folder(folder: Path, shape: tuple[int, ...]) -> tuple[list[str], NDArray[np.float32]]:
    if len(shape) != 3:
        raise UserError(
            f"input={folder}: a folder of pictures, the detector takes tables {_layout(shape)}; give .npz or .csv"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        raise UserError(f"input={folder}: no picture in the folder ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return [file.name for file in files], np.stack([_read_picture(file, shape) for file in files])


def _read_picture(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """One picture as (C, H, W) in [0, 1], turned to grey or colour as the detector needs it."""
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            if image.size != (width, height):
                size = f"{image.size[0]}x{image.size[1]}"
                raise UserError(f"input={path}: {size} pixels, the detector takes {width}x{height}; resize it")
            if image.mode.startswith(("I", "F")):  # converting would clip these
                raise UserError(f"input={path}: more than 8 bits a channel (mode {image.mode}); save it with 8")
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"input={path}: not a readable picture ({error}); mend or remove it") from error
    return np.atleast_3d(pixels).transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def _layout(shape: tuple[int, ...]) -> str:
    return f"(N, {', '.join(map(str, shape))})"
