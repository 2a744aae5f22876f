"""Rankings of items that repeat, against the same items one by one."""

import time

import numpy as np
import pytest

from lit_unlearn.metrics import counted_ranking as module
from lit_unlearn.metrics.counted_ranking import counted, counted_ranking
from lit_unlearn.metrics.ranking import ranking


def random_items(num_items: int, decimals: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    positive = rng.random(num_items) < 0.25
    return np.round(rng.normal(size=num_items) + positive, decimals), positive


def test_items_are_put_together_by_hand():
    items = counted(np.array([1.0, 2, 2, 2, 1, 5]), np.array([False, True, False, True, False, True]))
    assert items.scores.tolist() == [5, 2, 2, 1]
    assert items.positive.tolist() == [True, True, False, False]
    assert items.counts.tolist() == [1, 2, 1, 2]
    assert (items.num_items, items.num_positive) == (6, 3)


def test_the_areas_are_those_of_the_items_one_by_one():
    scores, positive = random_items(1000)
    by_cell, by_item = counted_ranking(counted(scores, positive)), ranking(scores, positive, positive)
    assert len(counted(scores, positive).scores) < 120
    assert (by_cell.auroc, by_cell.auprc) == pytest.approx((by_item.auroc, by_item.auprc), abs=1e-12)


def test_the_intervals_are_those_of_the_items_one_by_one():
    scores, positive = random_items(1000)
    by_cell = counted_ranking(counted(scores, positive), num_resamples=4000)
    by_item = ranking(scores, positive, positive, num_resamples=4000)
    for cell, item in ((by_cell.auroc_ci95, by_item.auroc_ci95), (by_cell.auprc_ci95, by_item.auprc_ci95)):
        width = item[1] - item[0]
        assert cell == pytest.approx(item, abs=0.05 * width)


def test_the_interval_is_the_same_each_time_and_follows_the_seed():
    items = counted(*random_items(200))
    assert counted_ranking(items) == counted_ranking(items) != counted_ranking(items, seed=1)


def test_many_cells_get_fewer_resamples(monkeypatch: pytest.MonkeyPatch):
    drawn = []
    measure = module.areas
    monkeypatch.setattr(module, "areas", lambda s, p, weights: drawn.append(len(weights)) or measure(s, p, weights))
    counted_ranking(counted(*random_items(300)))
    assert sum(drawn[1:]) == 1000
    drawn.clear()
    monkeypatch.setattr(module, "MOST_DRAWS", 30_000)
    items = counted(*random_items(300, decimals=8))
    counted_ranking(items)
    assert sum(drawn[1:]) == module.FEWEST_RESAMPLES


def test_a_million_lines_of_few_texts_take_seconds_at_most():
    scores, positive = random_items(1_000_000)
    start = time.perf_counter()
    counted_ranking(counted(scores, positive))
    assert time.perf_counter() - start < 3
