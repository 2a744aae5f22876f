"""Losses that move a target's vectors to where those of unknown entities are, as pure functions.

After Yamashita et al., "Sparse-Autoencoder-Guided Internal Representation Unlearning for Large Language Models" (arXiv
2509.15631); formulation reconstructed, not checked against the paper: that it moves the target's activation away from
known and towards unknown entities in the latent space of a sparse autoencoder is the paper's, the equations are ours.

A row v is what the model holds at one position of one text about a target: pre-activations u of a sparse autoencoder,
smoothed activations or raw ones. Rows of unknown (w) and known (n) entities are constants, of the untouched model. An
activation of the autoencoder that is off has no gradient, hence pre-activations. All but (1) take vectors in units of
the entities' spread (`scaled`) and d(v, w) = |v - w|^2 / k, so that a margin means the same for any number of latents
k. Means are taken over the rows of all processes. Equation numbers are those of this module:

    (1)  mean_{j in K} max(0, u_j - q_j) + mean_{j in U} max(0, p_j - u_j)                               latent_set
    (2)  d(v, mean w) + eta max(0, margin - d(v, mean n)), d also as 1 - cos(v, w)                         centroid
    (3)  max(0, d(v, w) - d(v, n) + margin)                                                                 triplet
    (4)  -mean_w log(e^{cos(v,w)/tau} / (e^{cos(v,w)/tau} + sum_n e^{cos(v,n)/tau}))                        infonce
    (5)  E k(v,v') + E k(w,w') - 2 E k(v,w), k = exp(-d / (2 s^2))                             mmd, Gretton et al. 2012
    (6)  2 E |v-w| - E |v-v'| - E |w-w'|, |v-w| = sqrt(d + 1e-4)         energy_distance, Szekely and Rizzo 2013
    (7)  d(v, w of the same row)                                                                             paired

None falls below 0. All but (4) are 0 with zero gradient where the target is where the unknown entities are (in (2) and
(3): if the known ones are `margin` away). The expectations of (5) and (6) are over all pairs, a row with itself
included: they are distances between two samples, not unbiased estimates.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses.reduction import all_reduce_sum, batch_mean, gather, world_size

Distance = Literal["euclidean", "cosine"]


def scaled(vectors: Tensor, std: Tensor, eps: float = 0.01) -> Tensor:
    """Vectors in units of the entities' spread.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        vectors: (N, k).
        std: (k,) standard deviation of each latent over the known and unknown entities in the untouched model.
        eps: share of the mean spread that is added to each, so that a latent that never varies does not rule.

    Returns:
        (N, k).
    """
    return vectors / (std + eps * std.mean())


def latent_set(known_latents: Tensor, unknown_latents: Tensor, ceiling: Tensor, floor: Tensor) -> Tensor:
    """Equation (1): turns latents of known entities down, and those of unknown entities up, as far as needed.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        known_latents: (N, |K|) pre-activations, on the target, of the latents that tell known entities.
        unknown_latents: (N, |U|) the same of those that tell unknown ones.
        ceiling: (|K|,) q, what the former are on unknown entities: their mean or a quantile.
        floor: (|U|,) p, what the latter are on unknown entities.

    Returns:
        () >= 0.
    """
    return batch_mean(F.relu(known_latents - ceiling).mean(1) + F.relu(floor - unknown_latents).mean(1))


def centroid(
    target: Tensor,
    unknown_mean: Tensor,
    known_mean: Tensor,
    eta: float = 0.0,
    margin: float = 1.0,
    distance: Distance = "euclidean",
) -> Tensor:
    """Equation (2): to the unknown entities' mean, and away from the known ones' as far as a margin.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        target: (N, k), scaled.
        unknown_mean, known_mean: (k,) means of the scaled vectors of unknown and known entities.
        eta: weight of the second term.
        margin: in units of the distance.
        distance: `euclidean`, d, or `cosine`, 1 - cos, in [0, 2].

    Returns:
        () >= 0.
    """

    def from_mean(mean: Tensor) -> Tensor:
        if distance == "euclidean":
            return (target - mean).square().mean(1)
        return 1 - F.cosine_similarity(target, mean[None], dim=1)

    return batch_mean(from_mean(unknown_mean) + eta * F.relu(margin - from_mean(known_mean)))


def triplet(target: Tensor, unknown: Tensor, known: Tensor, margin: float = 1.0) -> Tensor:
    """Equation (3): nearer to an unknown entity than to a known one, by a margin.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        target, unknown, known: (N, k), scaled; row i of the latter two is an entity drawn for row i of the first.
        margin: in units of d.

    Returns:
        () >= 0.
    """
    nearer = (target - unknown).square().mean(1) - (target - known).square().mean(1)
    return batch_mean(F.relu(nearer + margin))


def infonce(target: Tensor, unknown: Tensor, known: Tensor, temperature: float = 0.1) -> Tensor:
    """Equation (4): unknown entities are the positives, known ones the negatives.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper. InfoNCE: van
    den Oord et al. 2018.

    Args:
        target: (N, k), scaled.
        unknown, known: (P, k) and (Q, k), scaled; each row of the target is held against all of them.
        temperature: tau > 0.

    Returns:
        () > 0.
    """
    direction = F.normalize(target, dim=1)
    positives = _products(direction, F.normalize(unknown, dim=1)) / temperature
    negatives = _products(direction, F.normalize(known, dim=1)) / temperature
    return batch_mean(F.softplus(negatives.logsumexp(1, keepdim=True) - positives).mean(1))


def mmd(target: Tensor, unknown: Tensor, bandwidth: Tensor | float) -> Tensor:
    """Equation (5): the squared maximum mean discrepancy between the target's rows and those of unknown entities.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        target: (N, k), scaled.
        unknown: (P, k), scaled; processes may hold different rows, or all the same.
        bandwidth: s^2 > 0, in units of d; see `median_bandwidth`.

    Returns:
        () in [0, 2], of the rows of all processes.
    """
    target, unknown = _of_all_processes(target), _of_all_processes(unknown)

    def similarity(x: Tensor, y: Tensor) -> Tensor:
        return (-_distances(x, y) / (2 * bandwidth)).exp().mean()

    return similarity(target, target) + similarity(unknown, unknown) - 2 * similarity(target, unknown)


def median_bandwidth(vectors: Tensor) -> Tensor:
    """The median heuristic for s^2 of equation (5).

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        vectors: (N, k), N >= 2, scaled: the target's and the unknown entities', in the untouched model. Taken again of
            a target on its way, the kernel would widen and narrow with it.

    Returns:
        () the median of d over all pairs of different rows, without gradient.
    """
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1, device=vectors.device)
    return _distances(vectors.detach(), vectors.detach())[first, second].median()


def energy_distance(target: Tensor, unknown: Tensor) -> Tensor:
    """Equation (6): as `mmd`, without a bandwidth and with a gradient from any distance.

    The 1e-4 rounds the tip of the cone off, where the square root has no gradient. The rounded distance is still
    conditionally negative definite, hence (6) still never negative.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        target, unknown: see `mmd`.

    Returns:
        () >= 0, of the rows of all processes.
    """
    target, unknown = _of_all_processes(target), _of_all_processes(unknown)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (_distances(x, y) + 1e-4).sqrt().mean()

    return 2 * distance(target, unknown) - distance(target, target) - distance(unknown, unknown)


def paired(target: Tensor, unknown: Tensor) -> Tensor:
    """Equation (7): each row to that of the unknown entity it is paired with, in the same words.

    After Yamashita et al. (arXiv 2509.15631); formulation reconstructed, not checked against the paper.

    Args:
        target, unknown: (N, k), scaled.

    Returns:
        () >= 0.
    """
    return batch_mean((target - unknown).square().mean(1))


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, P) d between the rows of (N, k) and (P, k). Without (N, P, k) numbers in memory."""
    centre = y.detach().mean(0)  # far from the origin the three terms would cancel to few digits
    x, y = x - centre, y - centre
    products = _products(x, y)
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * products).clamp_min(0) / x.shape[1]


def _products(x: Tensor, y: Tensor) -> Tensor:
    """(N, P) inner products in the precision of the vectors also under autocast."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ y.T


def _of_all_processes(vectors: Tensor) -> Tensor:
    """(N, k) rows of all processes, with gradients: each puts its own into zeros, the sum puts them together."""
    if world_size() == 1:
        return vectors
    first_column, own = gather(vectors[:, 0])
    rows = vectors.new_zeros(len(first_column), vectors.shape[1])
    rows[own] = vectors
    return all_reduce_sum(rows)
