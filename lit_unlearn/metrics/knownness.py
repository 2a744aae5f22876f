"""Whether states of a language model look like those of entities it knows.

A linear probe is fitted on the states of known against unknown entities and applied to others; two sets of states are
also compared directly. An entity is met in several prompts, whose states depend on each other: folds, resamples and
permutations are over entities, never over single states.

Definitions: two-sample Kolmogorov-Smirnov statistic; squared maximum mean discrepancy (Gretton et al., "A Kernel
Two-Sample Test", JMLR 2012, its lemma 6, over pairs of different entities) with a Gaussian kernel whose width is the
median distance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from lit_unlearn.metrics.ranking import areas, resampled_counts

REGULARISATION = 0.1
"""C of scikit-learn's LogisticRegression; states have more dimensions than there are entities."""
FOLDS = 5
NUM_PERMUTATIONS, NUM_RESAMPLES = 500, 500


class Probe(NamedTuple):
    """A linear probe.

    Attributes:
        mean, scale: (d,) by which states are standardised.
        weight, bias: (d,) and (); logit = standardised state . weight + bias, positive for what looks known.
    """

    mean: NDArray
    scale: NDArray
    weight: NDArray
    bias: float

    def logits(self, states: NDArray) -> NDArray:
        """(N, d) states to (N,)."""
        return (states - self.mean) / self.scale @ self.weight + self.bias


def fit_probe(known: NDArray, unknown: NDArray) -> Probe:
    """A probe by logistic regression; both sides weigh the same, whatever their numbers.

    Args:
        known, unknown: (N, d) and (M, d) states.
    """
    states = np.concatenate([known, unknown]).astype(np.float64)
    mean, scale = states.mean(0), states.std(0)
    scale[scale == 0] = 1  # a latent that never fires
    truth = np.repeat([1, 0], [len(known), len(unknown)])
    fitted = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=1000)
    fitted.fit((states - mean) / scale, truth)
    return Probe(mean, scale, fitted.coef_[0], float(fitted.intercept_[0]))


class Separation(NamedTuple):
    """How far scores of a first set lie above those of a second.

    Attributes:
        auroc: the chance that a member of the first outscores one of the second, ties counting half: .5 where they
            cannot be told apart.
        ci95: percentile interval from a bootstrap of the entities of each set.
    """

    auroc: float
    ci95: tuple[float, float]


def separation(first: NDArray, second: NDArray, first_entities: NDArray, second_entities: NDArray) -> Separation:
    """AUROC of the first set of scores against the second.

    Args:
        first, second: (N,) and (M,) scores.
        first_entities, second_entities: (N,) and (M,) int, whose each score is.
    """
    scores, is_first = np.concatenate([first, second]), np.repeat([True, False], [len(first), len(second)])
    rng = np.random.default_rng(0)
    drawn = [_entity_counts(entities, NUM_RESAMPLES, rng) for entities in (first_entities, second_entities)]
    auroc = areas(scores, is_first, np.concatenate([np.ones((1, len(scores))), np.hstack(drawn)]))[0]
    low, high = np.quantile(auroc[1:], [0.025, 0.975])
    return Separation(float(auroc[0]), (float(low), float(high)))


def mean_interval(values: NDArray, entities: NDArray) -> tuple[float, float]:
    """95 % percentile interval of the mean of (N,) values, from a bootstrap of their (N,) entities."""
    counts = _entity_counts(entities, NUM_RESAMPLES, np.random.default_rng(0))
    low, high = np.quantile(counts @ values / counts.sum(1), [0.025, 0.975])
    return float(low), float(high)


def _entity_counts(entities: NDArray, num_resamples: int, rng: np.random.Generator) -> NDArray:
    """(num_resamples, N) how often each item is drawn when entities are drawn, all items of one together."""
    members, place = np.unique(entities, return_inverse=True)
    return resampled_counts(np.zeros(len(members)), num_resamples, rng)[:, place]


def cross_validated(first: NDArray, second: NDArray, first_entities: NDArray, second_entities: NDArray) -> float:
    """AUROC of probes fitted on the one set of states against the other, on entities they were not fitted on.

    The AUROC of each fold's own probe, averaged: scores of different probes are never compared. Each fold holds
    a fifth of the entities of both sets.

    Args:
        first, second: (N, d) and (M, d) states.
        first_entities, second_entities: (N,) and (M,) int, whose each state is; no entity is in both.

    Raises:
        ValueError: a set has fewer entities than `FOLDS`.
    """
    fewest = min(len(np.unique(first_entities)), len(np.unique(second_entities)))
    if fewest < FOLDS:
        raise ValueError(f"{fewest} entities, {FOLDS} folds: each fold needs one of each set")
    rng = np.random.default_rng(0)
    states, is_first = np.concatenate([first, second]), np.repeat([True, False], [len(first), len(second)])
    fold = np.concatenate([_folds(first_entities, rng), _folds(second_entities, rng)])
    aurocs = []
    for held_out in range(FOLDS):
        fitted, judged = states[fold != held_out], fold == held_out
        of_first = is_first[fold != held_out]
        scores = fit_probe(fitted[of_first], fitted[~of_first]).logits(states[judged])
        aurocs.append(areas(scores, is_first[judged], np.ones((1, len(scores))))[0][0])
    return float(np.mean(aurocs))


def _folds(entities: NDArray, rng: np.random.Generator) -> NDArray:
    """(N,) the fold of each item: entities at random, all items of one together."""
    members, place = np.unique(entities, return_inverse=True)
    return rng.permutation(np.arange(len(members)) % FOLDS)[place]


class Tested(NamedTuple):
    """A two-sample statistic and its permutation p-value: how often a random division of the entities gives as much."""

    statistic: float
    p: float


def kolmogorov_smirnov(first: NDArray, second: NDArray, first_entities: NDArray, second_entities: NDArray) -> Tested:
    """The largest distance between the distribution functions of two sets of scores; arguments as of `separation`."""
    scores = np.concatenate([first, second])
    order = np.argsort(scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    members = _divisions(first_entities, second_entities)[:, order]
    of_first = np.cumsum(members, axis=1) / members.sum(1, keepdims=True)
    of_second = np.cumsum(1 - members, axis=1) / (1 - members).sum(1, keepdims=True)
    return _tested(np.abs(of_first - of_second)[:, last_of_ties].max(1))


def mmd(first: NDArray, second: NDArray, first_entities: NDArray, second_entities: NDArray) -> Tested:
    """Unbiased squared maximum mean discrepancy; pairs of states of one entity are left out.

    Negative values come about by chance, where the sets do not differ.

    Args:
        first, second: (N, d) and (M, d) states.
        first_entities, second_entities: (N,) and (M,) int, at least two different ones in each.
    """
    states = np.concatenate([first, second]).astype(np.float64)
    norms = np.square(states).sum(1)
    distances = np.maximum(norms[:, None] + norms - 2 * states @ states.T, 0)
    kernel = np.exp(-distances / (2 * np.median(distances[np.triu_indices(len(states), 1)])))
    entity = np.concatenate([first_entities, second_entities + first_entities.max() + 1])
    owner = entity[:, None] == np.unique(entity)
    similarity, pairs = owner.T @ kernel @ owner, np.outer(owner.sum(0), owner.sum(0)).astype(float)
    np.fill_diagonal(similarity, 0)
    np.fill_diagonal(pairs, 0)
    inside = _divisions(first_entities, second_entities)[:, owner.argmax(0)]
    outside = 1 - inside

    def mean(a: NDArray, b: NDArray) -> NDArray:
        return np.einsum("ri,ij,rj->r", a, similarity, b, optimize=True) / np.einsum(
            "ri,ij,rj->r", a, pairs, b, optimize=True
        )

    return _tested(mean(inside, inside) + mean(outside, outside) - 2 * mean(inside, outside))


def _divisions(first_entities: NDArray, second_entities: NDArray) -> NDArray:
    """(1 + permutations, N + M) 1 where an item is of the first set: as it is, then with the sets' entities exchanged
    at random, each set keeping its number of entities."""
    entity = np.concatenate([first_entities, second_entities + first_entities.max() + 1])
    place = np.unique(entity, return_inverse=True)[1]
    as_it_is = np.zeros(place.max() + 1)
    as_it_is[place[: len(first_entities)]] = 1
    rng = np.random.default_rng(0)
    return np.stack([as_it_is, *(rng.permutation(as_it_is) for _ in range(NUM_PERMUTATIONS))])[:, place]


def _tested(statistics: NDArray) -> Tested:
    """The first statistic is that of the data, the others are of permutations."""
    as_extreme = int((statistics[1:] >= statistics[0]).sum())
    return Tested(float(statistics[0]), (1 + as_extreme) / len(statistics))
