"""How well scores rank positives above negatives: AUROC and average precision, with bootstrap intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Ranking(NamedTuple):
    """A measured ranking.

    Attributes:
        auroc: area under the ROC curve: the chance that a positive outscores a negative, ties counting half.
        auprc: average precision, sum (R_k - R_{k-1}) P_k over the distinct scores from the highest down.
        auroc_ci95, auprc_ci95: percentile bootstrap intervals.
    """

    auroc: float
    auprc: float
    auroc_ci95: tuple[float, float]
    auprc_ci95: tuple[float, float]


def areas(scores: NDArray, positive: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """AUROC and average precision of the same scores under many weightings of the items.

    Args:
        scores: (N,) finite scores.
        positive: (N,) bool.
        weights: (R, N) non-negative weights; in each row both classes carry some.

    Returns:
        (R,) AUROC and (R,) average precision.
    """
    order = np.argsort(-scores, kind="stable")
    falling, weights = scores[order], weights[:, order]
    last_of_ties = np.append(falling[1:] != falling[:-1], True)
    true_positives = np.cumsum(weights * positive[order], axis=1, dtype=np.float64)[:, last_of_ties]
    false_positives = np.cumsum(weights * ~positive[order], axis=1, dtype=np.float64)[:, last_of_ties]
    recall = true_positives / true_positives[:, -1:]
    false_positive_rate = false_positives / false_positives[:, -1:]
    gained = np.diff(recall, axis=1, prepend=0)
    auroc = ((1 - false_positive_rate + 0.5 * np.diff(false_positive_rate, axis=1, prepend=0)) * gained).sum(1)
    flagged = true_positives + false_positives
    precision = np.divide(true_positives, flagged, out=np.zeros_like(flagged), where=flagged > 0)
    return auroc, (precision * gained).sum(1)


def resampled_counts(strata: ArrayLike, num_resamples: int, rng: np.random.Generator) -> NDArray:
    """How often each item is drawn when every stratum is drawn from itself, with replacement, to its own size.

    Args:
        strata: (N,) labels.

    Returns:
        (num_resamples, N) counts, float32.
    """
    strata = np.asarray(strata)
    counts = np.empty((num_resamples, len(strata)), dtype=np.float32)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        draws = rng.integers(len(members), size=(num_resamples, len(members)))
        draws += np.arange(num_resamples)[:, None] * len(members)
        counts[:, members] = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
    return counts


def ranking(
    scores: ArrayLike, positive: ArrayLike, strata: ArrayLike, num_resamples: int = 1000, seed: int = 0
) -> Ranking:
    """AUROC and average precision with 95 % intervals from a stratified bootstrap of the items.

    The intervals cover the choice of test items, not that of the seed a model was trained with.

    Args:
        scores: (N,) finite scores, higher for positives.
        positive: (N,) bool; both values occur.
        strata: (N,) labels; the resamples keep the number of items of each.
        num_resamples: bootstrap resamples.
        seed: of the resamples.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    auroc, auprc = areas(scores, positive, np.ones((1, len(scores))))
    rng = np.random.default_rng(seed)
    at_once = max(1, 1_000_000 // len(scores))  # bounds the memory
    sizes = [min(at_once, num_resamples - done) for done in range(0, num_resamples, at_once)]
    resampled = [areas(scores, positive, resampled_counts(strata, size, rng)) for size in sizes]
    auroc_ci95, auprc_ci95 = (_interval(np.concatenate(values)) for values in zip(*resampled, strict=True))
    return Ranking(float(auroc[0]), float(auprc[0]), auroc_ci95, auprc_ci95)


def _interval(values: NDArray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
