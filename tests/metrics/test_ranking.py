"""Ranking metrics against scikit-learn, and their bootstrap intervals against theory."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lit_unlearn.metrics.ranking import areas, ranking, resampled_counts


def kinds_and_scores(num_items: int, decimals: int = 1, seed: int = 0):
    """Half of the items normal, a quarter of each of two kinds of positives; rounded scores, so there are ties."""
    rng = np.random.default_rng(seed)
    kind = np.repeat([0, 1, 2], [num_items // 2, num_items // 4, num_items // 4])
    return kind, np.round(rng.normal(size=num_items) + 0.7 * kind, decimals)


def test_values_worked_out_by_hand():
    scores, positive = (np.array([1, 2, 3, 4, 3.5, 5.0]), np.array([0, 0, 0, 0, 1, 1], dtype=bool))
    auroc, auprc = areas(scores, positive, np.ones((1, 6)))
    assert auroc[0] == pytest.approx(7 / 8)  # 3.5 beats three of four, 5 all four
    assert auprc[0] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_ties_count_half():
    auroc, auprc = areas(np.zeros(4), np.array([True, False, False, False]), np.ones((1, 4)))
    assert (auroc[0], auprc[0]) == (0.5, 0.25)


def test_weighted_areas_are_those_of_scikit_learn():
    kind, scores = kinds_and_scores(200)
    weights = np.random.default_rng(1).integers(0, 4, size=(5, 200)).astype(float)
    for row, auroc, auprc in zip(weights, *areas(scores, kind > 0, weights), strict=True):
        assert auroc == pytest.approx(roc_auc_score(kind > 0, scores, sample_weight=row), abs=1e-12)
        assert auprc == pytest.approx(average_precision_score(kind > 0, scores, sample_weight=row), abs=1e-12)


def test_a_resample_keeps_the_size_of_each_stratum():
    kind, _ = kinds_and_scores(40)
    counts = resampled_counts(kind, 300, np.random.default_rng(0))
    for k, size in ((0, 20), (1, 10), (2, 10)):
        assert (counts[:, kind == k].sum(1) == size).all()
    assert counts.mean(0) == pytest.approx(np.ones(40), abs=0.3)  # no item is preferred
    assert counts.var(0).mean() == pytest.approx(0.93, abs=0.05)  # multinomial: 1 - 1/n, on average over the items


def test_the_interval_has_the_width_of_theory():
    kind, scores = kinds_and_scores(2000, decimals=8)
    measured = ranking(scores, kind > 0, kind)
    # DeLong et al. 1988: the variance from the placements of positives among negatives and the other way round.
    above = scores[kind > 0][:, None] > scores[kind == 0]
    by_kind = [above.mean(1)[kind[kind > 0] == k].var(ddof=1) for k in (1, 2)]  # the strata are resampled apart
    variance = np.mean(by_kind) / 1000 + above.mean(0).var(ddof=1) / 1000
    low, high = measured.auroc_ci95
    assert high - low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.1)
    assert low < measured.auroc < high
    assert measured.auprc_ci95[0] < measured.auprc < measured.auprc_ci95[1]


def test_the_interval_is_the_same_each_time_and_follows_the_seed():
    kind, scores = kinds_and_scores(100)
    assert ranking(scores, kind > 0, kind) == ranking(scores, kind > 0, kind)
    assert ranking(scores, kind > 0, kind) != ranking(scores, kind > 0, kind, seed=1)


def test_many_items_are_resampled_in_parts(monkeypatch: pytest.MonkeyPatch):
    kind, scores = kinds_and_scores(4000)
    rows = []
    monkeypatch.setattr(
        "lit_unlearn.metrics.ranking.resampled_counts",
        lambda *arguments: rows.append(counts := resampled_counts(*arguments)) or counts,
    )
    ranking(scores, kind > 0, kind, num_resamples=600)
    assert [len(counts) for counts in rows] == [250, 250, 100]


def test_a_perfect_ranking_has_no_width():
    measured = ranking(np.arange(10.0), np.arange(10) >= 5, np.arange(10) >= 5)
    assert measured == (1, 1, (1, 1), (1, 1))


def test_two_thousand_items_take_less_than_a_second():
    kind, scores = kinds_and_scores(2000)
    start = time.perf_counter()
    ranking(scores, kind > 0, kind)
    assert time.perf_counter() - start < 1
