"""Decisions by a threshold on scores, and ways to choose the threshold.

An item is flagged when its score is strictly above the threshold, so the quantile of what is known to be normal, taken
as the threshold, flags at most the share beyond it, also where scores are equal. Items carry weights: how often each
occurs. A ratio whose denominator is 0 is 0: the precision where nothing is flagged, the recall without positives, the
specificity without negatives.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Decisions(NamedTuple):
    """How good the decisions of a threshold are.

    With TP, FP, TN, FN the weights of the items decided so:

    Attributes:
        f1: 2 TP / (2 TP + FP + FN).
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        specificity: TN / (TN + FP).
    """

    f1: float
    precision: float
    recall: float
    specificity: float


def decisions(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike, threshold: float) -> Decisions:
    """The quality of flagging what scores above a threshold.

    Args:
        scores: (N,) finite scores, higher for positives.
        positive: (N,) bool.
        weights: (N,) non-negative.
        threshold: may be infinite.
    """
    scores, positive, weights = _arrays(scores, positive, weights)
    flagged = scores > threshold
    hits, false_alarms = weights[flagged & positive].sum(), weights[flagged & ~positive].sum()
    misses, passed = weights[~flagged & positive].sum(), weights[~flagged & ~positive].sum()
    return Decisions(
        f1=_ratio(2 * hits, 2 * hits + false_alarms + misses),
        precision=_ratio(hits, hits + false_alarms),
        recall=_ratio(hits, hits + misses),
        specificity=_ratio(passed, passed + false_alarms),
    )


def oracle_f1(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike) -> tuple[float, float]:
    """The threshold with the highest F1 on the very items it is judged on, which no user has: an optimistic number.

    Args:
        scores, positive, weights: as for `decisions`.

    Returns:
        the highest score that is not flagged (-inf where all are), and the F1. Of equally good thresholds the one that
        flags least; it flags the items of the highest score at least.
    """
    scores, positive, weights = _arrays(scores, positive, weights)
    cuts, flagged = _cuts(scores, weights)
    _, hits = _cuts(scores, weights * positive)
    f1 = 2 * hits / np.maximum(flagged + hits[-1], np.finfo(np.float64).tiny)
    best = np.argmax(f1)
    return float(cuts[best]), float(f1[best])


def quantile_threshold(quantile: float) -> float:
    """The threshold that a quantile of scores stands for: a hair above it.

    The quantile is the score of some item; where that item is met again, its score may differ by what another batch
    does to the arithmetic, and it must not be flagged for that.
    """
    return quantile + 1e-6 + 1e-5 * abs(quantile)


def share_threshold(scores: ArrayLike, weights: ArrayLike, share: float) -> float:
    """The threshold that flags a share of the items, those with the highest scores.

    Items of equal score are flagged together, so the share is met as closely as that allows; of two that are equally
    close the smaller one is flagged. Those of the highest score always are: some share is known to be positive.

    Args:
        scores, weights: as for `decisions`.
        share: of the total weight, in (0, 1].

    Returns:
        the highest score that is not flagged; -inf where all are.
    """
    scores, _, weights = _arrays(scores, np.zeros(len(np.asarray(scores)), dtype=bool), weights)
    cuts, flagged = _cuts(scores, weights)
    return float(cuts[np.argmin(np.abs(flagged - share * weights.sum()))])


def _cuts(scores: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """The weight above each threshold that makes a difference, from the highest threshold down.

    Returns:
        (K,) thresholds, each a distinct score but the highest, and -inf; (K,) weight of the items above.
    """
    distinct, place = np.unique(scores, return_inverse=True)
    above = np.cumsum(np.bincount(place, weights, len(distinct))[::-1])
    return np.append(distinct[-2::-1], -np.inf), above


def _arrays(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    return np.asarray(scores, np.float64), np.asarray(positive, bool), np.asarray(weights, np.float64)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
