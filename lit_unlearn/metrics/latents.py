"""Which latents of a sparse autoencoder tell known entities from unknown ones.

Ferrando, Obeso, Rajamanoharan, Nanda, "Do I Know This Entity? Knowledge Awareness and Hallucinations in Language
Models", ICLR 2025, arXiv 2411.14257; thresholds from the authors' code. A latent j fires on a state where its code z_j
exceeds `FIRING`. With E_K and E_U the states of known and of unknown entities:

    (1)  f_j^K = mean over e in E_K of 1[z_j(e) > FIRING], and f_j^U likewise over E_U
    (2)  s_j^known = f_j^K - f_j^U, s_j^unknown = f_j^U - f_j^K
    (3)  MaxMin: of each latent the minimum of (2) over the types of entities; the latents with the largest are chosen

and latents that fire on `UNSPECIFIC` or more of the tokens of general text are left out.

Deviation: "types" are here whatever the states are told apart by, such as the wording of the prompt or the attribute
asked for; there need be only one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

FIRING = 1e-6
UNSPECIFIC = 0.02


class LatentScores(NamedTuple):
    """Equation (3) before the choice.

    Attributes:
        known: (J,) the minimum of s_j^known over types, in [-1, 1].
        unknown: (J,) the minimum of s_j^unknown.
    """

    known: Tensor
    unknown: Tensor


def firing_rates(z: Tensor) -> Tensor:
    """(N, J) codes to (J,) share of the states on which each latent fires, equation (1)."""
    return (z > FIRING).float().mean(0)


def latent_scores(
    known: Tensor, unknown: Tensor, known_types: Tensor | None = None, unknown_types: Tensor | None = None
) -> LatentScores:
    """Equations (1) to (3).

    Args:
        known: (N, J) codes of states of known entities.
        unknown: (M, J) codes of unknown ones.
        known_types, unknown_types: (N,) and (M,) int64, the type of each; None: there is one type.

    Raises:
        ValueError: a type occurs among the known or the unknown entities only.
    """
    if known_types is None or unknown_types is None:
        known_types, unknown_types = known.new_zeros(len(known)), unknown.new_zeros(len(unknown))
    types = known_types.unique()
    if not torch.equal(types, unknown_types.unique()):
        raise ValueError(f"types {types.tolist()} of known, {unknown_types.unique().tolist()} of unknown entities")
    of_known = torch.stack([firing_rates(known[known_types == t]) for t in types])
    of_unknown = torch.stack([firing_rates(unknown[unknown_types == t]) for t in types])
    return LatentScores((of_known - of_unknown).amin(0), (of_unknown - of_known).amin(0))


def specific(z: Tensor) -> Tensor:
    """(T, J) codes of tokens of general text to (J,) bool: which latents fire on few of them."""
    return firing_rates(z) < UNSPECIFIC


def top_latents(scores: Tensor, allowed: Tensor, k: int) -> Tensor:
    """The chosen latents, the best first.

    Args:
        scores: (J,) one side of `LatentScores`.
        allowed: (J,) bool, see `specific`.
        k: how many at most.

    Returns:
        (n,) int64 with n <= k: fewer where fewer are allowed and score above 0 (which means: in every type they fire
        more often on this side than on the other).
    """
    order = scores.masked_fill(~allowed, -torch.inf).argsort(descending=True, stable=True)[:k]
    return order[(scores[order] > 0) & allowed[order]]
