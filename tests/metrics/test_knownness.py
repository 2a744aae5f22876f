"""Probes and two-sample tests: against scikit-learn and SciPy, by brute force; entities are never torn apart."""

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from lit_unlearn.metrics import knownness
from lit_unlearn.metrics.knownness import (
    cross_validated,
    fit_probe,
    kolmogorov_smirnov,
    mean_interval,
    mmd,
    separation,
)


def entities(count: int, each: int = 3) -> np.ndarray:
    return np.repeat(np.arange(count), each)


def states(count: int, seed: int, shift: float = 0, each: int = 3, width: int = 8, own: float = 1) -> np.ndarray:
    """Each entity has a vector of its own, and each of its states some noise."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(own * rng.normal(size=(count, width)), each, axis=0)
    return shared + 0.3 * rng.normal(size=shared.shape) + shift * np.eye(width)[0]


def test_a_probe_finds_what_tells_known_from_unknown():
    probe = fit_probe(states(60, 0, shift=2), states(60, 1, shift=-2))
    assert probe.logits(states(30, 2, shift=2)).mean() > 1
    assert probe.logits(states(30, 3, shift=-2)).mean() < -1
    assert np.abs(probe.weight).argmax() == 0


def test_a_probe_does_not_prefer_the_larger_side():
    few, many = states(20, 0, shift=0.5), np.concatenate([states(20, 0, shift=-0.5)] * 10)
    probe = fit_probe(few, many)
    assert probe.logits(few).mean() == pytest.approx(-probe.logits(many).mean(), abs=0.1)


def test_a_latent_that_never_fires_is_no_trouble():
    known, unknown = states(10, 0, shift=1), states(10, 1)
    known[:, 3] = unknown[:, 3] = 0
    assert np.isfinite(fit_probe(known, unknown).logits(known)).all()


def test_separation_is_the_auroc():
    first, second = np.array([1.0, 2, 2, 5]), np.array([0.0, 2, 3])
    measured = separation(first, second, np.arange(4), np.arange(3))
    assert measured.auroc == pytest.approx(roc_auc_score([1] * 4 + [0] * 3, [*first, *second]))
    assert measured.ci95[0] < measured.auroc < measured.ci95[1]


def test_intervals_know_that_states_of_an_entity_are_no_news():
    """Ten copies of each state: as wide as without, and three times as wide as if they were independent."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=40) + 0.5, rng.normal(size=40)
    once = separation(first, second, np.arange(40), np.arange(40)).ci95
    copies = np.repeat(first, 10), np.repeat(second, 10)
    clustered = separation(*copies, entities(40, 10), entities(40, 10)).ci95
    independent = separation(*copies, np.arange(400), np.arange(400)).ci95
    assert clustered == pytest.approx(once)
    assert clustered[1] - clustered[0] > 2.5 * (independent[1] - independent[0])


def test_the_interval_of_a_mean_has_the_width_of_theory():
    values = np.random.default_rng(0).normal(size=400)
    low, high = mean_interval(values, np.arange(400))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert mean_interval(np.repeat(values, 5), entities(400, 5)) == pytest.approx((low, high))
    assert mean_interval(np.ones(4), np.arange(4)) == (1, 1)


def test_a_direct_probe_tells_what_can_be_told():
    assert cross_validated(states(20, 0, shift=3), states(30, 1), entities(20), entities(30)) > 0.95


def test_a_direct_probe_is_not_judged_on_entities_it_has_met():
    """Each entity is its own cluster: whoever meets one of its states in fitting knows the others."""
    aurocs = [
        cross_validated(
            states(15, 2 * seed, own=3, width=30), states(15, 2 * seed + 1, own=3, width=30), entities(15), entities(15)
        )
        for seed in range(8)
    ]
    assert 0.35 < np.mean(aurocs) < 0.65
    torn = cross_validated(states(15, 0, own=3, width=30), states(15, 1, own=3, width=30), np.arange(45), np.arange(45))
    assert torn > 0.9  # what is measured where states of an entity count as different entities


def test_a_direct_probe_needs_an_entity_for_each_fold():
    with pytest.raises(ValueError, match="4 entities, 5 folds"):
        cross_validated(states(4, 0), states(9, 1), entities(4), entities(9))


@pytest.mark.parametrize("decimals", [1, 8])
def test_the_statistic_of_kolmogorov_and_smirnov_is_scipys(decimals: int):
    first, second = (np.round(states(30, seed, width=1)[:, 0] + seed / 3, decimals) for seed in (0, 1))
    tested = kolmogorov_smirnov(first, second, entities(30), entities(30))
    assert tested.statistic == pytest.approx(ks_2samp(first, second).statistic, rel=1e-12)


def test_equal_sets_do_not_differ():
    x = states(10, 0)
    assert kolmogorov_smirnov(x[:, 0], x[:, 0], entities(10), entities(10)) == (0, 1)
    assert mmd(x, x, entities(10), entities(10)).p > 0.9


@pytest.mark.parametrize("test", [mmd, lambda a, b, *e: kolmogorov_smirnov(a[:, 0], b[:, 0], *e)])
def test_p_values_are_those_of_entities(test, monkeypatch: pytest.MonkeyPatch):
    """Under the null, p is below .2 in a fifth of the cases; permuting single states would reject nearly always."""
    monkeypatch.setattr(knownness, "NUM_PERMUTATIONS", 60)
    drawn = [
        test(states(12, 2 * i, own=2), states(20, 2 * i + 1, own=2), entities(12), entities(20)).p for i in range(80)
    ]
    assert 0.08 < np.mean(np.array(drawn) <= 0.2) < 0.34
    far = test(states(12, 0, shift=4), states(20, 1), entities(12), entities(20))
    assert far.p == pytest.approx(1 / 61)


def test_mmd_by_brute_force():
    first, second = states(3, 0, each=2, width=2), states(4, 1, each=2, width=2, shift=1)
    both = np.concatenate([first, second])
    distances = np.square(both[:, None] - both).sum(-1)
    width = np.median([distances[i, j] for i in range(len(both)) for j in range(i)])
    owner = [*entities(3, 2), *(entities(4, 2) + 3)]

    def mean(a: range, b: range) -> float:
        pairs = [(i, j) for i in a for j in b if owner[i] != owner[j]]
        return float(np.mean([np.exp(-distances[i, j] / (2 * width)) for i, j in pairs]))

    x, y = range(6), range(6, 14)
    expected = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    assert mmd(first, second, entities(3, 2), entities(4, 2)).statistic == pytest.approx(expected, rel=1e-12)


def test_the_same_numbers_every_time_and_no_random_state_is_touched():
    x, y, e = states(10, 0), states(12, 1), (entities(10), entities(12))
    before = np.random.get_state()[1].copy()
    found = [(mmd(x, y, *e), kolmogorov_smirnov(x[:, 0], y[:, 0], *e), cross_validated(x, y, *e)) for _ in range(2)]
    assert found[0] == found[1]
    assert (np.random.get_state()[1] == before).all()
