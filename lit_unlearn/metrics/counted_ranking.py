"""Rankings of many items that repeat: equal scores are counted once, so that millions of them stay cheap."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_unlearn.metrics.ranking import Ranking, areas

MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 200
MOST_DRAWS = 20_000_000
"""Draws that a bootstrap may take before it is content with fewer resamples."""


class Counted(NamedTuple):
    """Scored items, those with equal score and equal truth put together.

    Attributes:
        scores: (C,) float64, falling; a score of both kinds of items is there twice.
        positive: (C,) bool.
        counts: (C,) int64, how many items each stands for.
    """

    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]
    counts: NDArray[np.int64]

    @property
    def num_positive(self) -> int:
        return int(self.counts[self.positive].sum())

    @property
    def num_items(self) -> int:
        return int(self.counts.sum())


def counted(scores: NDArray, positive: NDArray) -> Counted:
    """Puts equal items together.

    Args:
        scores: (N,) finite scores.
        positive: (N,) bool.
    """
    distinct, place = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    occurs = np.bincount(2 * place + positive, minlength=2 * len(distinct))
    cells = np.flatnonzero(occurs)[::-1]
    return Counted(distinct[cells // 2], cells % 2 == 1, occurs[cells])


def counted_ranking(items: Counted, num_resamples: int | None = None, seed: int = 0) -> Ranking:
    """AUROC and average precision with 95 % intervals from a bootstrap of the items, positives and negatives apart.

    Drawing N of N items with replacement gives the cells multinomial counts; those are drawn, not the items.

    Args:
        items: both kinds occur.
        num_resamples: bootstrap resamples; None: 1000, fewer (never below 200) where there are many cells.
        seed: of the resamples.
    """
    scores, positive, counts = items
    num_resamples = num_resamples or int(np.clip(MOST_DRAWS // len(scores), FEWEST_RESAMPLES, MOST_RESAMPLES))
    auroc, auprc = areas(scores, positive, counts[None].astype(np.float64))
    rng = np.random.default_rng(seed)
    at_once = max(1, 1_000_000 // len(scores))  # bounds the memory
    resampled = []
    for done in range(0, num_resamples, at_once):
        drawn = np.empty((min(at_once, num_resamples - done), len(scores)))
        for kind in (positive, ~positive):
            size = counts[kind].sum()
            drawn[:, kind] = rng.multinomial(size, counts[kind] / size, len(drawn))
        resampled.append(areas(scores, positive, drawn))
    intervals = [np.quantile(np.concatenate(values), [0.025, 0.975]) for values in zip(*resampled, strict=True)]
    auroc_ci95, auprc_ci95 = ((float(low), float(high)) for low, high in intervals)
    return Ranking(float(auroc[0]), float(auprc[0]), auroc_ci95, auprc_ci95)
