"""The typed batches of the anomaly domain."""

from typing import NamedTuple

from torch import Tensor

NORMAL, SEEN, UNSEEN = 0, 1, 2
"""Kinds of test items: normal, an anomaly of a kind that training has met, an anomaly of a kind it never met."""


class PUBatch(NamedTuple):
    """A training batch.

    Attributes:
        unlabeled: (U, *input_shape) float32, mostly normal items, some anomalies.
        labelled: (A, *input_shape) float32, known anomalies.
    """

    unlabeled: Tensor
    labelled: Tensor


class EvaluationBatch(NamedTuple):
    """A validation or test batch.

    Attributes:
        x: (B, *input_shape) float32.
        kind: (B,) int64. Test: NORMAL, SEEN or UNSEEN. Validation: 0 for unlabeled items and 1 for labelled
            anomalies, which is all that is known about them.
    """

    x: Tensor
    kind: Tensor
