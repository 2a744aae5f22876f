"""Decisions by a threshold and ways to choose it, against counts by hand and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

from lit_unlearn.metrics.thresholds import decisions, oracle_f1, quantile_threshold, share_threshold

SCORES = np.array([4.0, 3.0, 3.0, 2.0, 1.0])
POSITIVE = np.array([True, True, False, False, True])
WEIGHTS = np.array([1, 2, 1, 5, 1])


def random_items(seed: int, num_items: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(num_items) < 0.2
    return np.round(rng.normal(size=num_items) + positive, 1), positive, rng.integers(1, 6, num_items)


def test_decisions_worked_out_by_hand():
    decided = decisions(SCORES, POSITIVE, WEIGHTS, 2.0)  # TP 3, FP 1, FN 1, TN 5
    assert decided == (pytest.approx(6 / 8), 3 / 4, 3 / 4, pytest.approx(5 / 6))


def test_a_score_at_the_threshold_is_not_flagged():
    decided = decisions(SCORES, POSITIVE, WEIGHTS, 3.0)  # TP 1, FP 0, FN 3, TN 6
    assert decided == (pytest.approx(2 / 5), 1, 1 / 4, 1)


def test_a_ratio_of_nothing_is_zero():
    assert decisions(SCORES, POSITIVE, WEIGHTS, np.inf) == (0, 0, 0, 1)
    assert decisions(SCORES, np.zeros(5, bool), WEIGHTS, 3.5) == (0, 0, 0, 0.9)
    assert decisions(SCORES, np.ones(5, bool), WEIGHTS, -np.inf) == (1, 1, 1, 0)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.35, 1.5])
def test_decisions_are_those_of_scikit_learn(threshold: float):
    scores, positive, weights = random_items(0)
    decided = decisions(scores, positive, weights, threshold)
    precision, recall, f1, _ = precision_recall_fscore_support(positive, scores > threshold, sample_weight=weights)
    assert (decided.precision, decided.recall, decided.f1) == pytest.approx((precision[1], recall[1], f1[1]), abs=1e-12)
    assert decided.specificity == pytest.approx(recall[0], abs=1e-12)


def test_weights_stand_for_repeated_items():
    scores, positive, weights = random_items(1)
    items = [np.repeat(values, weights) for values in (scores, positive, np.ones(300))]
    assert decisions(scores, positive, weights, 0.5) == pytest.approx(decisions(*items, 0.5), abs=1e-12)
    assert oracle_f1(scores, positive, weights) == pytest.approx(oracle_f1(*items), abs=1e-12)
    assert share_threshold(scores, weights, 0.3) == share_threshold(items[0], items[2], 0.3)


def test_the_oracle_worked_out_by_hand():
    # Above 3, 2, 1 and -inf: F1 2/5, 6/8, 6/13, 8/14.
    assert oracle_f1(SCORES, POSITIVE, WEIGHTS) == (2.0, pytest.approx(6 / 8))


def test_the_oracle_is_the_best_of_all_thresholds():
    for seed in range(5):
        scores, positive, weights = random_items(seed)
        threshold, f1 = oracle_f1(scores, positive, weights)
        assert decisions(scores, positive, weights, threshold).f1 == pytest.approx(f1, abs=1e-12)
        precision, recall, _ = precision_recall_curve(positive, scores, sample_weight=weights)
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        assert f1 == pytest.approx(best, abs=1e-9)


def test_the_oracle_of_equal_scores_flags_them_all():
    assert oracle_f1(np.ones(4), np.array([True, False, False, False]), np.ones(4)) == (-np.inf, pytest.approx(2 / 5))


def test_of_equally_good_thresholds_the_one_that_flags_least():
    # Flagging the first: F1 2/3; the first four: 4/6; both with TP 1 of 2 or 2 of 2.
    positive = np.array([True, False, False, True])
    assert oracle_f1(np.array([4.0, 3, 2, 1]), positive, np.ones(4)) == (3.0, pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("share", "threshold"),
    [(0.01, 3.0), (0.1, 3.0), (0.2, 3.0), (0.3, 2.0), (0.4, 2.0), (0.6, 2.0), (0.7, 1.0), (0.9, 1.0), (1.0, -np.inf)],
)
def test_a_share_is_met_as_closely_as_ties_allow(share: float, threshold: float):
    """Above 3, 2, 1 and -inf lie 1, 4, 9 and 10 of 10."""
    assert share_threshold(SCORES, WEIGHTS, share) == threshold


def test_the_highest_score_is_flagged_however_many_have_it():
    assert share_threshold(np.array([1.0, 0.0]), np.array([30, 70]), 0.02) == 0


def test_of_two_equally_close_shares_the_smaller():
    assert share_threshold(np.array([3.0, 2.0, 2.0]), np.array([2, 1, 1]), 0.75) == 2.0  # 2 or 4 for 3


@pytest.mark.parametrize("quantile", [-3.0, 0.0, 1e-3, 20.0])
def test_the_item_at_the_quantile_is_not_flagged_for_its_batch(quantile: float):
    noise = 5e-7 + 1e-6 * abs(quantile)
    assert quantile + noise < quantile_threshold(quantile) < quantile + 50 * noise
