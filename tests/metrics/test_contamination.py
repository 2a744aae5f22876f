"""The estimate of the share of anomalies on known shares."""

import numpy as np
import pytest

from lit_unlearn.metrics.contamination import best_bin_estimate, estimate_contamination


def tolerance(share: float) -> float:
    """Allowed error for 600 unlabeled items and 150 labelled anomalies whose clusters hardly overlap.

    Over seeds 0 to 11 the largest errors were .007, .013, .015, .023 and .106 at shares 0, .05, .1, .2 and .5 (there
    with a standard deviation of .034; seed 3, the worst, is tested).
    """
    return 0.01 + 0.25 * share


def mixture(share: float, seed: int, distance: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """600 unlabeled points, `share` of them anomalies at `distance` standard deviations, and 150 labelled anomalies."""
    rng = np.random.default_rng(seed)
    is_anomaly = np.arange(600) < round(600 * share)
    unlabeled = rng.normal(size=(600, 2)) + distance * is_anomaly[:, None] * [1, 0]
    return unlabeled.astype(np.float32), rng.normal([distance, 0], size=(150, 2)).astype(np.float32)


@pytest.mark.parametrize(("share", "seed"), [(0.0, 0), (0.05, 2), (0.1, 0), (0.1, 9), (0.2, 3), (0.5, 0), (0.5, 3)])
def test_known_shares(share: float, seed: int):
    assert estimate_contamination(*mixture(share, seed), seed) == pytest.approx(share, abs=tolerance(share))


def test_overlap_makes_it_an_upper_estimate():
    """q_u/q_a >= a for every threshold: where the kinds overlap, the estimate errs to the high side.

    Here by a factor of two to four (.19, .37, .32 and .20 for seeds 0 to 3).
    """
    assert estimate_contamination(*mixture(0.1, 0, distance=1.5)) > 0.1 + tolerance(0.1)


def test_best_bin_by_hand():
    """100 unlabeled scores, 10 of them at 2, the rest at 0; 50 labelled, 40 at 2, 10 at 0: 0.1 / 0.8 at threshold 2."""
    unlabeled, labelled = np.repeat([0.0, 2.0], [90, 10]), np.repeat([0.0, 2.0], [10, 40])
    assert best_bin_estimate(unlabeled, labelled) == pytest.approx(0.125)


def test_thresholds_that_no_labelled_anomaly_reaches_are_left_out():
    assert best_bin_estimate(np.array([0.0, 0.0, 0.0, 9.0]), np.full(50, 1.0)) == pytest.approx(0.25)
