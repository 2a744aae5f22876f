"""Estimates the share of anomalies among unlabeled items from labelled anomalies."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier


def best_bin_estimate(unlabeled_scores: NDArray, labelled_scores: NDArray, delta: float = 0.1) -> float:
    """Best Bin Estimation of the mixture share (Garg et al., "Mixture Proportion Estimation and PU Learning", 2021).

    For a threshold c let q_u(c) and q_a(c) be the shares of unlabeled items and labelled anomalies scored above it.
    q_u = a q_a + (1 - a) q_n, so q_u(c)/q_a(c) >= a, with equality where no normal item scores above c. The threshold
    is the one with the lowest upper confidence bound of that ratio.

    Args:
        unlabeled_scores, labelled_scores: (U,) and (A,) scores of a classifier that did not train on them.
        delta: confidence level of the bound.

    Returns:
        the estimated share, in [0, 1].
    """
    thresholds = np.unique(np.concatenate([unlabeled_scores, labelled_scores]))
    q_u = 1 - np.searchsorted(np.sort(unlabeled_scores), thresholds, side="left") / len(unlabeled_scores)
    q_a = 1 - np.searchsorted(np.sort(labelled_scores), thresholds, side="left") / len(labelled_scores)
    reached = q_a > 0
    q_u, q_a = q_u[reached], q_a[reached]
    slack = np.sqrt(np.log(4 / delta) / 2) * (len(unlabeled_scores) ** -0.5 + len(labelled_scores) ** -0.5)
    best = np.argmin((q_u + slack) / q_a)
    return float(min(1.0, q_u[best] / q_a[best]))


def estimate_contamination(unlabeled: NDArray, labelled: NDArray, seed: int = 0) -> float:
    """Share of anomalies among unlabeled items, if labelled and unlabeled anomalies are of the same kinds.

    A random forest tells labelled anomalies from unlabeled items; its out-of-bag votes are scores that no item had a
    part in training.

    Args:
        unlabeled, labelled: (U, ...) and (A, ...) items.
        seed: of the forest.
    """
    x = np.concatenate([unlabeled, labelled]).reshape(len(unlabeled) + len(labelled), -1)
    y = np.repeat([0, 1], [len(unlabeled), len(labelled)])
    forest = RandomForestClassifier(
        300, min_samples_leaf=3, class_weight="balanced_subsample", oob_score=True, n_jobs=-1, random_state=seed
    )
    votes = forest.fit(x, y).oob_decision_function_[:, 1]
    return best_bin_estimate(votes[y == 0], votes[y == 1])
