"""The positive-unlabeled protocol: who goes where."""

import dataclasses

import numpy as np
import pytest

from datamodules.anomaly.protocol import Budget, Pool, Split, split
from lit_unlearn.errors import UserError

NOTHING = np.empty(0, np.int64)
TRAIN = Pool(np.arange(1000), np.arange(1000, 1400), NOTHING)
TEST = Pool(np.arange(1400, 1700), np.arange(1700, 1900), np.arange(1900, 2000))
BUDGET = Budget(num_normal=500, contamination=0.2, num_labelled=60, validation=0.1, num_test=200)


def drawn(seed: int = 0, **values) -> Split:
    return split(TRAIN, TEST, dataclasses.replace(BUDGET, **values), seed)


def test_counts():
    parts = drawn()
    # 500 normal items at 20 % contamination: 500 * 0.2 / 0.8 = 125 anomalies; a tenth of each for validation on top
    assert np.bincount(parts.unlabeled_kind).tolist() == [500, 125]
    assert len(parts.labelled) == 60
    assert len(parts.validation_unlabeled) == 50 + 12
    assert len(parts.validation_labelled) == 6
    assert np.bincount(parts.test_kind).tolist() == [100, 50, 50]
    assert parts.contamination == 0.2


def test_parts_share_no_item_and_come_from_where_they_may():
    parts = drawn()
    everything = [parts.unlabeled, parts.labelled, parts.validation_unlabeled, parts.validation_labelled, parts.test]
    rows = np.concatenate(everything)
    assert len(np.unique(rows)) == len(rows)
    assert rows[: -len(parts.test)].max() < 1400 <= parts.test.min()
    assert (parts.labelled >= 1000).all()
    assert (parts.validation_labelled >= 1000).all()


def test_kinds_are_true():
    parts = drawn()
    assert np.array_equal(parts.unlabeled_kind, parts.unlabeled >= 1000)
    assert np.array_equal(parts.test_kind, np.searchsorted([1700, 1900], parts.test, side="right"))


def test_unlabeled_items_are_in_no_order():
    kinds = drawn().unlabeled_kind
    assert 0.15 < kinds[:250].mean() < 0.25  # 125 anomalies of 625, not all at the end


def test_the_split_is_a_function_of_the_seed():
    first, again, other = drawn(seed=3), drawn(seed=3), drawn(seed=4)
    for field in dataclasses.fields(Split):
        name = field.name
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert not np.array_equal(first.unlabeled, other.unlabeled)
    assert not np.array_equal(first.test, other.test)


def test_as_many_labelled_as_hidden_by_default():
    assert len(drawn(num_labelled=None).labelled) == 125


def test_all_normal_items_are_taken_where_anomalies_suffice():
    parts = drawn(num_normal=None, contamination=0.05, validation=0.25)
    assert np.bincount(parts.unlabeled_kind).tolist() == [800, 42]  # 800 + 200 for validation


def test_few_anomalies_limit_the_normal_items_taken():
    parts = drawn(num_normal=None, num_labelled=None, contamination=0.5, validation=0)
    assert np.bincount(parts.unlabeled_kind).tolist() == [200, 200]  # 200 hidden + 200 labelled of 400
    assert len(parts.labelled) == 200


@pytest.mark.parametrize("seen", [5, 8, 9, 12, 40, 41, 42, 43])
@pytest.mark.parametrize("validation", [0.0, 0.2, 0.5])
def test_taking_all_normal_items_never_asks_for_too_many(seen: int, validation: float):
    budget = Budget(None, 250 / 4750, None, validation, 20)
    parts = split(Pool(np.arange(1000), np.arange(1000, 1000 + seen), NOTHING), TEST, budget, 0)
    assert len(parts.labelled) == np.sum(parts.unlabeled_kind == 1) > 0


def test_too_few_anomalies_for_any_number_of_normal_items():
    with pytest.raises(UserError) as error:
        split(Pool(np.arange(1000), np.arange(1000, 1001), NOTHING), TEST, Budget(None, 0.1, None, 0.2, 20), 0)
    assert "there are 1;" in error.value.lines[0]


def test_no_validation():
    parts = drawn(validation=0)
    assert len(parts.validation_unlabeled) == len(parts.validation_labelled) == 0


def test_a_little_validation_has_a_labelled_item():
    assert len(drawn(validation=0.001).validation_labelled) == 1


def test_a_small_test_keeps_its_proportions():
    small = dataclasses.replace(TEST, seen=TEST.seen[:10])
    parts = split(TRAIN, small, BUDGET, 0)
    assert np.bincount(parts.test_kind).tolist() == [20, 10, 10]


def test_too_many_normal_items():
    with pytest.raises(UserError) as error:
        drawn(num_normal=950, contamination=0.1)
    assert error.value.lines == [
        "data.num_normal=950: with data.validation=0.1 this needs 1045 normal items and there are 1000; use at most 909"
    ]


def test_the_most_it_allows_is_possible():
    assert np.sum(drawn(num_normal=909, contamination=0.1).unlabeled_kind == 0) == 909


def test_too_many_anomalies():
    with pytest.raises(UserError) as error:
        drawn(contamination=0.5, num_labelled=100)
    (line,) = error.value.lines
    assert "data.contamination=0.5 and data.num_labelled=100: this needs 660 seen anomalies" in line
    assert "there are 400" in line


def test_nothing_to_learn_from():
    with pytest.raises(UserError, match=r"data\.num_labelled=0: no labelled anomaly"):
        drawn(num_labelled=0)


def test_all_errors_together():
    with pytest.raises(UserError) as error:
        drawn(num_normal=2000, contamination=0.5, num_labelled=0)
    assert len(error.value.lines) == 3
