"""The typed batch of the logs domain, and the token ids every vocabulary begins with."""

from typing import NamedTuple

import torch
from torch import Tensor

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
"""Names of the ids above, in their order; a vocabulary goes on with the placeholders of the preprocessing."""


class LineBatch(NamedTuple):
    """Preprocessed log lines of about the same length, for training, validation and prediction alike.

    Attributes:
        tokens: (B, T) int64, [CLS] ... [SEP], filled up with PAD.
        labelled: (B,) bool, lines known to be anomalous; the others are unlabeled. False throughout in prediction.
        counts: (B,) int64, how often the line occurs; 1 in training, where each occurrence is drawn by itself.
        text: B preprocessed lines, which the tokens stand for.
    """

    tokens: Tensor
    labelled: Tensor
    counts: Tensor
    text: list[str]


def counted(tokens: Tensor) -> Tensor:
    """(B, T) bool: the tokens of the line itself, without [CLS], [SEP] and padding."""
    return (tokens != PAD) & (tokens != CLS) & (tokens != SEP)


def padded(lines: list[list[int]]) -> Tensor:
    """(B, T) int64 of B lists of ids, filled up with PAD to the longest."""
    longest = max(map(len, lines))
    return torch.tensor([line + [PAD] * (longest - len(line)) for line in lines])
