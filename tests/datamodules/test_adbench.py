"""Tables: rows by kind, groups of anomalies, the scale, and files that are damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.anomaly.adbench import ADBench, find_table, groups_by_size
from lit_unlearn.errors import UserError
from tests.datamodules.image_folders import REAL_DATA, needs_real

TABLES = ["annthyroid", "cardio", "landsat", "mammography", "optdigits", "pendigits", "satellite", "shuttle"]
TABLES += ["thyroid", "Waveform"]
GROUP_SIZES = [20, 30, 40]  # of the generated anomalies, far apart from one another


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Rows of six columns: the row's number, its group (0 normal), a constant, three that tell the groups apart."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat([0, 1, 2, 3], [800, *GROUP_SIZES]))
    x = rng.normal(size=(len(group), 6)) * 3
    x[:, 3:] += 100 * np.eye(4)[group][:, 1:]
    x[:, 0], x[:, 1], x[:, 2] = np.arange(len(group)), group, 0.1
    (tmp_path / "adbench").mkdir()
    np.savez(tmp_path / "adbench" / "7_Made.npz", X=x, y=(group > 0).astype(np.int64))
    return tmp_path


def made(root: Path, **values) -> ADBench:
    data = ADBench(data_root=str(root), name="made", **values)
    data.setup()
    return data


def column(data: ADBench, x: torch.Tensor, number: int) -> np.ndarray:
    """A column as it was in the file."""
    return (x[:, number] * data.spread[number] + data.centre[number]).round().int().numpy()


@pytest.mark.parametrize("unseen_group", [0, 1, 2])
def test_the_unseen_group_is_met_in_the_test_alone(root: Path, unseen_group: int):
    data = made(root, unseen_group=unseen_group)
    unseen = unseen_group + 1  # the fixture's groups are numbered by size, too
    training = torch.cat([data.unlabeled, data.labelled, data.validation.x])
    assert unseen not in column(data, training, 1)
    groups, kinds = column(data, data.test.x, 1), data.test.kind.numpy()
    assert np.array_equal(kinds, np.where(groups == 0, 0, np.where(groups == unseen, 2, 1)))
    assert len(kinds) == 4 * min(GROUP_SIZES[unseen_group], round(0.4 * (90 - GROUP_SIZES[unseen_group])))


def test_no_row_is_in_two_parts(root: Path):
    data = made(root)
    rows = column(data, torch.cat([data.unlabeled, data.labelled, data.validation.x, data.test.x]), 0)
    assert len(np.unique(rows)) == len(rows)
    kinds = data.parts.unlabeled_kind
    assert np.array_equal(column(data, data.unlabeled, 1) > 0, kinds == 1)
    assert (column(data, data.labelled, 1) > 0).all()


def test_defaults_take_as_many_rows_as_the_anomalies_suffice_for(root: Path):
    data = made(root)
    # 70 seen anomalies, 42 of them for training; 17 + 17 and a fifth more for validation make 40
    assert len(data.labelled) == np.sum(data.parts.unlabeled_kind == 1) == 17
    assert abs(data.parts.contamination - 250 / 4750) < 0.01 / 4


def test_splits_are_a_function_of_the_seed(root: Path):
    first, again, other = (made(root, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.unlabeled, again.unlabeled)
    assert torch.equal(first.test.x, again.test.x)
    # not only what is drawn, but what it is drawn from
    assert np.array_equal(first.load().test.normal, again.load().test.normal)
    assert set(first.load().test.normal) != set(other.load().test.normal)
    assert set(first.load().test.unseen) == set(other.load().test.unseen)


def test_columns_are_standardised_with_the_unlabeled_training_rows(root: Path):
    data = made(root)
    varying = [0, 1, 3, 4, 5]
    assert data.unlabeled.dtype == torch.float32
    assert torch.allclose(data.unlabeled.mean(0)[varying], torch.zeros(5), atol=1e-6)
    assert torch.allclose(data.unlabeled.std(0, correction=0)[varying], torch.ones(5), atol=1e-6)
    assert data.labelled.mean(0).abs().max() > 1
    for x in (data.unlabeled, data.labelled, data.test.x):
        assert torch.allclose(x[:, 2], torch.zeros(len(x)), atol=1e-6)  # the constant column


def test_the_scale_is_in_the_checkpoint(root: Path):
    data, fresh = made(root), ADBench(data_root="elsewhere")
    fresh.load_state_dict(data.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    assert np.array_equal(fresh.preprocess(x), data.preprocess(x))
    assert not np.array_equal(data.preprocess(x), x)


def test_groups_by_size_of_clusters_apart():
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    truth = np.repeat([0, 1, 2], [50, 9, 30])
    x = (centres[truth] + np.random.default_rng(0).normal(size=(89, 2))).astype(np.float32)
    assert np.array_equal(groups_by_size(x, 3), np.choose(truth, [2, 0, 1]))


def test_a_far_out_row_is_no_group_of_its_own():
    x = np.random.default_rng(0).normal(size=(99, 2)).astype(np.float32)
    x[0] = 20
    assert np.bincount(groups_by_size(x, 3)).min() > 10


def test_columns_count_alike_for_the_groups():
    x = np.random.default_rng(0).normal(size=(99, 3)).astype(np.float32)
    x[:, 2] = 7  # a constant one tells nothing
    assert np.array_equal(groups_by_size(x, 3), groups_by_size(x * [1, 1000, 1] + [0, 50, 3], 3))


def one_line(act: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        act()
    (line,) = error.value.lines
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", ["made", "Made", "MADE"])
def test_capitals_do_not_matter(root: Path, name: str):
    assert find_table(str(root), name) == root / "adbench" / "7_Made.npz"


def test_unknown_table(root: Path):
    line = one_line(lambda: ADBench(data_root=str(root), name="maid").setup())
    assert line == f"data.name=maid: no such table in {root}/adbench; did you mean made? It holds made"


def test_no_folder(tmp_path: Path):
    line = one_line(lambda: ADBench(data_root=str(tmp_path)).setup())
    assert line.startswith(f"data_root={tmp_path}: no folder {tmp_path}/adbench with files such as 6_cardio.npz; get ")


def test_no_such_group():
    line = one_line(lambda: ADBench(data_root="", num_groups=3, unseen_group=3))
    assert line.startswith("data.unseen_group=3: with data.num_groups=3 the groups are 0 to 2")


def with_value(value: float) -> dict[str, np.ndarray]:
    x = np.ones((6, 2))
    x[4, 1] = value
    return {"X": x, "y": np.array([0, 1] * 3)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((6, 2))}, "no array y (it holds X)"),
        ({"y": np.ones(6)}, "no array X (it holds y)"),
        ({"a": np.ones(6)}, "no array X and y (it holds a)"),
        ({"X": np.ones((6, 2)), "y": np.ones(5)}, "X has shape (6, 2) and y (5,)"),
        ({"X": np.ones(6), "y": np.ones(6)}, "X has shape (6,)"),
        ({"X": np.ones((6, 2)), "y": np.array([0, 1, 2, 0, 1, 0])}, "y holds 2; must be 0 (normal) or 1 (anomaly)"),
        ({"X": np.ones((6, 2)), "y": np.array([0, 1, np.nan, 0, 1, 0])}, "y: row 2 (the first is 0) holds NaN"),
        (with_value(np.nan), "X: row 4 (the first is 0) holds NaN, an infinite or a too large number (1 of 6 rows do)"),
        (with_value(-np.inf), "X: row 4"),
        (with_value(1e300), "X: row 4"),
        ({"X": np.full((6, 2), "a"), "y": np.array([0, 1] * 3)}, "X: values of type <U1, must be numbers"),
        ({"X": np.array([[None]] * 6), "y": np.array([0, 1] * 3)}, "cannot be read as npz (Object arrays cannot"),
        ({"X": np.ones((6, 2)), "y": np.array([0, 0, 0, 0, 0, 1])}, "has 1 anomalies"),
    ],
)
def test_tables_that_are_none(root: Path, arrays: dict[str, np.ndarray], message: str):
    path = root / "adbench" / "7_Made.npz"
    np.savez(path, **arrays)
    line = one_line(lambda: made(root))
    assert str(path) in line
    assert message in line


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_table_cut_short(root: Path, share: float):
    path = root / "adbench" / "7_Made.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert one_line(lambda: made(root)).startswith(f"{path}: cannot be read as npz (")


def test_a_damaged_table(root: Path):
    path = root / "adbench" / "7_Made.npz"
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(content)
    assert one_line(lambda: made(root)).startswith(f"{path}: cannot be read as npz (")


@needs_real("adbench")
@pytest.mark.parametrize("name", TABLES)
def test_defaults_on_the_real_tables(name: str):
    data = ADBench(data_root=REAL_DATA, name=name)
    data.setup()
    assert abs(data.parts.contamination - 250 / 4750) < 0.002
    assert len(data.labelled) >= 17
    assert np.bincount(data.test.kind).min() >= 25
    assert torch.isfinite(data.test.x).all()
