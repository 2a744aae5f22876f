"""The typed batch of the robust domain."""

from typing import NamedTuple

from torch import Tensor


class LabelledBatch(NamedTuple):
    """Pictures and their classes, for training, validation and the test.

    Attributes:
        x: (B, C, H, W) float32 in [0, 1].
        y: (B,) int64.
    """

    x: Tensor
    y: Tensor
