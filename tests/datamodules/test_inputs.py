"""A user's new data: what is read, and what is refused with one line that names the place."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.anomaly.inputs import read_items
from lit_unlearn.errors import UserError

GREY, COLOUR, TABLE = [1, 4, 5], [3, 4, 5], [3]
RNG = np.random.default_rng(0)


def refused(path: Path, shape: list[int]) -> str:
    with pytest.raises(UserError) as error:
        read_items(str(path), shape)
    (line,) = error.value.lines
    assert "\n" not in line
    assert line.startswith("input=")
    assert path.name in line
    return line


def saved(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "new.npz", **arrays)
    return tmp_path / "new.npz"


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "new.csv").write_text(text, encoding="utf-8")
    return tmp_path / "new.csv"


def test_npz_of_pictures_as_the_network_sees_them(tmp_path: Path):
    x = RNG.random((2, 3, 4, 5))
    names, items = read_items(str(saved(tmp_path, X=x)), COLOUR)
    assert names == ["0", "1"]
    assert items.dtype == np.float32
    assert np.array_equal(items, x.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "stored"),
    [(GREY, (2, 1, 4, 5)), (GREY, (2, 4, 5)), (GREY, (2, 4, 5, 1)), (COLOUR, (2, 3, 4, 5)), (COLOUR, (2, 4, 5, 3))],
)
def test_npz_of_bytes_in_the_usual_layouts(tmp_path: Path, shape: list[int], stored: tuple[int, ...]):
    x = RNG.integers(0, 256, stored, np.uint8)
    items = read_items(str(saved(tmp_path, X=x, y=np.zeros(2))), shape)[1]
    assert items.shape == (2, *shape)
    value = x[1, 2, 3, -1] if stored[-1] == shape[0] else x.reshape(2, *shape)[1, -1, 2, 3]
    assert items[1, -1, 2, 3] == np.float32(value) / np.float32(255)


def test_npz_with_one_array_of_any_name(tmp_path: Path):
    x = RNG.normal(size=(4, 3))
    assert np.array_equal(read_items(str(saved(tmp_path, rows=x)), TABLE)[1], x.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "arrays", "message"),
    [
        (TABLE, {"a": np.ones((2, 3)), "b": np.ones((2, 3))}, "no array X; it holds a, b"),
        (TABLE, {"X": np.ones((2, 4))}, "shape (2, 4), the detector takes (N, 3)"),
        (TABLE, {"X": np.ones((0, 3))}, "shape (0, 3)"),
        (TABLE, {"X": np.float64(1)}, "shape ()"),
        (TABLE, {"X": np.array([[0, 0, 0], [0, np.nan, 0]])}, "row 1 (the first is 0) holds NaN"),
        (TABLE, {"X": np.array([["a", "b", "c"]])}, "values of type <U1"),
        (TABLE, {"X": np.array([[None] * 3])}, "cannot be read as npz"),
        (COLOUR, {"X": np.ones((2, 4, 5))}, "shape (2, 4, 5), the detector takes (N, 3, 4, 5), (N, 4, 5, 3)"),
        (GREY, {"X": np.ones((2, 5, 4))}, "(N, 1, 4, 5), (N, 4, 5, 1) or (N, 4, 5)"),
        (GREY, {"X": np.float64(1)}, "shape ()"),
        (GREY, {"X": np.full((2, 4, 5), 16.0)}, "values from 16 to 16, pictures must lie in [0, 1] or be uint8"),
        (GREY, {"X": np.full((2, 4, 5), -0.5)}, "values from -0.5"),
        (GREY, {"X": np.full((2, 4, 5), np.inf)}, "row 0"),
    ],
)
def test_refused_npz(tmp_path: Path, shape: list[int], arrays: dict[str, np.ndarray], message: str):
    path = tmp_path / "new.npz"
    np.savez(path, **arrays)
    assert message in refused(path, shape)


def test_refused_files(tmp_path: Path):
    assert "no such file or folder" in refused(tmp_path / "absent.npz", TABLE)
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    assert "cannot be read as npz" in refused(tmp_path / "a.npz", TABLE)
    np.save(tmp_path / "b.npy", np.ones(3))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    assert "cannot be read as npz" in refused(tmp_path / "b.npz", TABLE)
    (tmp_path / "c.txt").write_text("1")
    assert "files of type '.txt' are not read" in refused(tmp_path / "c.txt", TABLE)


@pytest.mark.parametrize("text", ["1,2,3\n4,5,-6e-1\n", "a,b,c\r\n1,2,3\r\n4,5,-0.6\r\n", "\ufeff1,2,3\n\n4,5,-.6"])
def test_csv_with_and_without_header(tmp_path: Path, text: str):
    names, items = read_items(str(written(tmp_path, text)), TABLE)
    assert names == ["0", "1"]
    assert items.dtype == np.float32
    assert np.array_equal(items, np.array([[1, 2, 3], [4, 5, -0.6]], np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n1,nan,3\n", "line 2 holds 'nan', must be a finite number"),
        ("a,b,c\n1,2,3\n1,,3\n", "line 3 holds '', must"),
        ("nan,nan,nan\n", "line 1 holds 'nan'"),
        ("1,2,1e39\n", "line 1 holds '1e39'"),
        ("1,2,x\n", "line 1 holds 'x'"),
        ("1,2,3\na,b,c\n", "line 2 holds 'a'"),
        ("1,2\n", "line 1 has 2 columns, the detector takes 3"),
        ("1,2,3\n1,2,3,4\n", "line 2 has 4 columns"),
        ("a,b,c\n", "no row of numbers"),
        ("", "no row of numbers"),
    ],
)
def test_refused_csv(tmp_path: Path, text: str, message: str):
    assert message in refused(written(tmp_path, text), TABLE)


def test_csv_that_is_none(tmp_path: Path):
    (tmp_path / "new.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "cannot be read as csv" in refused(tmp_path / "new.csv", TABLE)
    assert "a csv file holds tables" in refused(written(tmp_path, "1,2,3\n"), GREY)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_folder_of_pictures_in_the_order_of_their_names(tmp_path: Path, shape: list[int]):
    pictures = {"b.PNG": "L", "a.bmp": "RGB", "c.webp": "RGB", "d.png": "RGBA", "e.png": "P"}
    for i, (name, mode) in enumerate(pictures.items()):
        picture = Image.new("RGB", (5, 4), (20 * i, 20 * i, 20 * i))
        picture.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / name, lossless=True)
    (tmp_path / "notes.txt").write_text("no picture")
    names, items = read_items(str(tmp_path), shape)
    assert names == ["a.bmp", "b.PNG", "c.webp", "d.png", "e.png"]
    assert items.dtype == np.float32
    assert items.shape == (5, *shape)
    for item, level in zip(items, [20, 0, 40, 60, 80], strict=True):
        assert np.array_equal(item, np.full(shape, level, np.float32) / np.float32(255))


def test_rows_columns_and_channels_of_a_picture_are_kept(tmp_path: Path):
    pixels = RNG.integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    items = read_items(str(tmp_path), COLOUR)[1]
    assert np.array_equal(items[0] * 255, pixels.transpose(2, 0, 1).astype(np.float32))


def test_refused_pictures(tmp_path: Path):
    assert "no picture in the folder" in refused(tmp_path, GREY)
    assert "the detector takes tables (N, 3)" in refused(tmp_path, TABLE)
    bad = tmp_path / "bad.png"
    Image.new("L", (4, 5)).save(bad)
    assert "bad.png: 4x5 pixels, the detector takes 5x4" in refused(bad.parent, GREY)
    Image.fromarray(np.full((4, 5), 1000, np.uint16)).save(bad)
    assert "bad.png: more than 8 bits" in refused(bad.parent, GREY)
    Image.fromarray(RNG.integers(0, 256, (4, 5), np.uint8)).save(bad)
    bad.write_bytes(bad.read_bytes()[:50])
    assert "bad.png: not a readable picture" in refused(bad.parent, GREY)
    bad.write_bytes(b"")
    assert "bad.png: not a readable picture" in refused(bad.parent, GREY)
