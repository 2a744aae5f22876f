"""The typed batch of the diffusion domain."""

from typing import NamedTuple

from torch import Tensor


class DiffusionBatch(NamedTuple):
    """A training batch.

    Attributes:
        unlabeled: (U, C, H, W) float32 in [-1, 1], mostly normal pictures, a share of sensitive ones.
        unlabeled_class: (U,) int64, what class-conditional models are told; unconditional ones do not look at it.
        labelled: (S, C, H, W) float32 in [-1, 1], pictures known to be sensitive.
        labelled_class: (S,) int64.
    """

    unlabeled: Tensor
    unlabeled_class: Tensor
    labelled: Tensor
    labelled_class: Tensor
