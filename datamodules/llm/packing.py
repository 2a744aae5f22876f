"""Documents packed into blocks of one length, with nothing lost and nothing seen across documents."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.llm.batches import IGNORED, TextBatch


class PackedText(Dataset):
    """Blocks of packed documents, indexed with a tuple of one tensor of block numbers.

    Attributes:
        tokens, labels, positions: (N, T) int64, see `TextBatch`.
    """

    def __init__(self, documents: Iterable[list[int]], block: int):
        """
        Args:
            documents: token ids, each at least two.
            block: T. A document longer than that is cut into documents of at most T tokens.
        """
        parts = [part[i : i + block] for part in documents for i in range(0, len(part), block)]
        rows: list[list[list[int]]] = [[]]
        room = block
        for part in parts:
            if len(part) > room:
                rows.append([])
                room = block
            rows[-1].append(part)
            room -= len(part)
        tokens = np.zeros((len(rows), block), dtype=np.int64)
        labels = np.full((len(rows), block), IGNORED, dtype=np.int64)
        positions = np.zeros((len(rows), block), dtype=np.int64)
        for number, row in enumerate(rows):
            at = 0
            for ids in row:
                end = at + len(ids)
                tokens[number, at:end] = ids
                labels[number, at + 1 : end] = ids[1:]  # the first follows from nothing
                positions[number, at:end] = np.arange(len(ids))
                at = end
            positions[number, at:] = np.arange(block - at)  # padding is a document of its own
        self.tokens, self.labels, self.positions = map(torch.from_numpy, (tokens, labels, positions))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, indices: tuple[Tensor]) -> TextBatch:
        (rows,) = indices
        return TextBatch(self.tokens[rows], self.labels[rows], self.positions[rows])
