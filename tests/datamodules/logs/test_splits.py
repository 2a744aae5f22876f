"""Which lines are trained on, held out, labelled and tested."""

import numpy as np
import pytest

from datamodules.logs.splits import Split, split_lines
from lit_unlearn.errors import UserError

TAG = (np.random.default_rng(0).random(1000) < 0.1) * np.random.default_rng(1).integers(1, 4, 1000)


def parts(seed: int = 0, **changed) -> Split:
    usual = {"split": "chronological", "train_share": 0.8, "validation": 0.1, "contamination": None, "num_labelled": 0}
    return split_lines(TAG, **usual | changed, seed=seed)


@pytest.mark.parametrize("split", ["chronological", "random"])
@pytest.mark.parametrize("contamination", [None, 0.05])
def test_no_line_is_in_two_parts_and_all_are_rising(split: str, contamination: float | None):
    made = parts(split=split, contamination=contamination, num_labelled=20)
    together = np.concatenate(made)
    assert len(np.unique(together)) == len(together)
    assert all((np.diff(part) > 0).all() for part in made)
    assert all(part.dtype == np.int64 for part in made)


def test_chronological_tests_what_came_later():
    made = parts(contamination=0.05, num_labelled=20)
    assert made.test.tolist() == list(range(800, 1000))
    assert max(part.max() for part in made[:3]) < 800


def test_random_tests_lines_from_everywhere():
    made = parts(split="random")
    assert len(made.test) == 200
    assert 30 < (made.test < 200).sum() < 55  # 40 expected
    assert (TAG[made.test] > 0).any()


def test_training_on_normal_lines_only():
    made = parts()
    assert (TAG[made.train] == 0).all() and (TAG[made.validation] == 0).all()
    assert len(made.train) + len(made.validation) == (TAG[:800] == 0).sum()
    assert len(made.validation) == round(0.1 * (TAG[:800] == 0).sum())
    assert len(made.labelled) == 0


@pytest.mark.parametrize("contamination", [0.0, 0.02, 0.05])
def test_the_contamination_is_as_asked_for(contamination: float):
    made = parts(contamination=contamination)
    unlabeled = np.concatenate([made.train, made.validation])
    alerts = (TAG[unlabeled] > 0).sum()
    assert alerts / len(unlabeled) == pytest.approx(contamination, abs=0.5 / len(unlabeled) + 1e-12)
    assert len(unlabeled) - alerts == (TAG[:800] == 0).sum()  # every normal line is there
    assert 0 <= (TAG[made.validation] > 0).sum() <= alerts


def test_held_out_lines_are_contaminated_alike():
    shares = [(TAG[parts(seed, contamination=0.08).validation] > 0).mean() for seed in range(20)]
    assert np.mean(shares) == pytest.approx(0.08, abs=0.02)


def test_labelled_lines_are_alerts_of_the_training_part():
    made = parts(num_labelled=30, contamination=0.03)
    assert len(made.labelled) == 30 and (TAG[made.labelled] > 0).all() and made.labelled.max() < 800


def test_the_same_alerts_are_labelled_whatever_the_contamination():
    assert np.array_equal(parts(num_labelled=30).labelled, parts(num_labelled=30, contamination=0.03).labelled)


@pytest.mark.parametrize("split", ["chronological", "random"])
def test_the_split_is_a_function_of_the_seed(split: str):
    usual = {"split": split, "num_labelled": 10, "contamination": 0.02}
    first, again, other = parts(3, **usual), parts(3, **usual), parts(4, **usual)
    for name in Split._fields:
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    changed = {name for name in Split._fields if not np.array_equal(getattr(first, name), getattr(other, name))}
    assert changed == set(Split._fields) - ({"test"} if split == "chronological" else set())


def test_numpys_own_generator_plays_no_part():
    np.random.seed(1)
    first = parts(split="random").test
    np.random.seed(2)
    assert np.array_equal(parts(split="random").test, first)


def test_too_many_alerts_asked_for():
    there = int((TAG[:800] > 0).sum())
    with pytest.raises(UserError) as error:
        parts(num_labelled=there + 1)
    assert error.value.lines == [
        f"data.num_labelled={there + 1}: {there + 1} alerts asked for, the training part has {there}; ask for fewer"
    ]
    assert len(parts(num_labelled=there).labelled) == there
    with pytest.raises(UserError) as error:
        parts(num_labelled=10, contamination=0.5)
    assert error.value.lines[0].startswith("data.num_labelled=10 data.contamination=0.5: ")


@pytest.mark.parametrize(
    ("tag", "validation", "empty"),
    [
        (np.ones(100, np.int64), 0.1, "train, validation"),
        (np.zeros(20, np.int64), 0.01, "validation"),
        (np.zeros(2, np.int64), 0.5, "test"),
    ],
)
def test_a_part_without_a_line(tag: np.ndarray, validation: float, empty: str):
    with pytest.raises(UserError, match=f"no line for {empty} "):
        split_lines(tag, "chronological", 0.8, validation, None, 0, 0)
