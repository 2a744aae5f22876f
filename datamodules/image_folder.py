"""Labelled pictures in folders: FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.images import Images
from lit_unlearn.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def read_image_folder(folder: str) -> Images:
    """All pictures of a folder, in memory; the classes are the names of the folders in `train`.

    Grey if all pictures are, else in colour. All must have the same size: nothing is resized or cropped silently.

    Raises:
        UserError: a folder is missing or empty, a picture cannot be read, or two differ in size; it is named.
    """
    root = Path(folder).expanduser()
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise UserError(
                f"data.folder={folder}: no folder {root / part}; put pictures into train/CLASS/ and test/CLASS/"
            )
    names = tuple(sorted(path.name for path in (root / "train").iterdir() if path.is_dir()))
    files = {part: [_files(root / part / name) for name in names] for part in ("train", "test")}
    empty = [name for name, found in zip(names, files["train"], strict=True) if not found]
    if empty or len(names) < 2:
        what = (
            f"no picture in {root / 'train' / empty[0]}" if empty else f"{len(names)} class folders in {root / 'train'}"
        )
        raise UserError(
            f"data.folder={folder}: {what}; two classes with pictures ({', '.join(sorted(SUFFIXES))}) are needed"
        )
    pictures = {part: [_read(path) for found in files[part] for path in found] for part in files}
    grey = all(picture.ndim == 2 for part in pictures.values() for picture in part)
    first = files["train"][0][0]
    size = pictures["train"][0].shape[:2]
    arrays = {}
    for part, found in pictures.items():
        paths = [path for of_class in files[part] for path in of_class]
        for path, picture in zip(paths, found, strict=True):
            if picture.shape[:2] != size:
                raise UserError(
                    f"data.folder={folder}: {path} has {picture.shape[1]}x{picture.shape[0]} pixels and {first} "
                    f"{size[1]}x{size[0]}; resize them to one size"
                )
        arrays[part] = np.stack([_channels(picture, grey) for picture in found])
    labels = {
        part: np.repeat(np.arange(len(names)), [len(found) for found in of]).astype(np.int64)
        for part, of in files.items()
    }
    return Images(arrays["train"], labels["train"], arrays["test"], labels["test"], names)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def _read(path: Path) -> NDArray[np.uint8]:
    """(H, W) grey or (H, W, 3)."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"data.folder: {path} is no readable picture ({error}); mend or remove it") from error


def _channels(picture: NDArray[np.uint8], grey: bool) -> NDArray[np.uint8]:
    """(C, H, W)."""
    if grey:
        return picture[None]
    return picture.transpose(2, 0, 1) if picture.ndim == 3 else np.stack([picture] * 3)
