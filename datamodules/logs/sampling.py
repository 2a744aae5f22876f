"""Which lines make a batch: frequent ones not too often, and lines of about the same length together."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_unlearn.reproducibility import ResumableSampler, shuffled_rounds

SORTED_TOGETHER = 50
"""Batches whose lines are sorted by length among themselves: enough for little padding, few enough to keep variety."""

MOST_PADDING = 0.1
"""Share of a batch's tokens that may be padding where lines are scored."""


def cut_by_length(lengths: NDArray[np.int64], batch_size: int) -> list[int]:
    """Where to cut lines, sorted by length, into batches of at most `batch_size` with little padding.

    Args:
        lengths: (N,) tokens of each line, rising.
        batch_size: lines of a batch at most.

    Returns:
        number of the first line of each batch but the first.
    """
    cuts: list[int] = []
    start = inside = 0
    for i, length in enumerate(lengths.tolist()):
        inside += length
        number = i - start + 1
        if number > batch_size or inside < (1 - MOST_PADDING) * number * length:
            cuts.append(i)
            start, inside = i, length
    return cuts


class LineSampler(ResumableSampler):
    """Batches of lines drawn by how often they occur; the order is a function of (seed, epoch) alone.

    A log says a few lines very often. A distinct line that occurs c times is drawn in proportion to c ** power: 1 draws
    every line of the log once, 0 every distinct line equally often. The draw is systematic: a line whose share is k
    times in an epoch is drawn k times, or one of the two whole numbers beside k.

    Args:
        counts: (D,) how often each distinct line occurs.
        lengths: (D,) tokens of each.
        power: in [0, 1].
        lines_per_epoch: lines drawn in an epoch.
        batch_size: lines of a batch, over all processes; batches of an epoch differ by one line at most.
        num_labelled: labelled lines there are.
        labelled_batch_size: labelled lines in a batch, over all processes.
        seed: the run's.

    Yields:
        indices of distinct lines, and indices of labelled lines.
    """

    def __init__(
        self,
        counts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        power: float,
        lines_per_epoch: int,
        batch_size: int,
        num_labelled: int,
        labelled_batch_size: int,
        seed: int,
    ):
        super().__init__(seed)
        weights = counts.astype(np.float64) ** power
        self.cumulative = torch.from_numpy(np.cumsum(weights) / weights.sum())
        self.lengths = torch.from_numpy(lengths)
        self.lines_per_epoch = lines_per_epoch
        self.num_batches = -(-lines_per_epoch // batch_size)
        self.num_labelled = num_labelled
        self.labelled_batch_size = labelled_batch_size if num_labelled else 0

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = self.generator()
        unlabeled = self._by_length(self._drawn(generator))
        labelled = self._labelled(generator)
        for batch in torch.randperm(self.num_batches, generator=generator)[self.start :].tolist():
            yield self.share(unlabeled[batch]), self.share(labelled[batch])

    def _drawn(self, generator: torch.Generator) -> Tensor:
        """(lines_per_epoch,) distinct lines in random order."""
        n = self.lines_per_epoch
        at = (torch.arange(n, dtype=torch.float64) + torch.rand(1, generator=generator, dtype=torch.float64)) / n
        drawn = torch.searchsorted(self.cumulative, at).clamp(max=len(self.cumulative) - 1)
        return drawn[torch.randperm(n, generator=generator)]

    def _by_length(self, drawn: Tensor) -> list[Tensor]:
        """Cut into batches, lines of a length side by side within each stretch of some batches."""
        parts = drawn.tensor_split(self.num_batches)
        batches: list[Tensor] = []
        for numbers in torch.arange(self.num_batches).tensor_split(-(-self.num_batches // SORTED_TOGETHER)):
            together = parts[numbers[0] : numbers[-1] + 1]
            stretch = torch.cat(together)
            order = self.lengths[stretch].argsort(stable=True)  # those of a length stay in their random order
            batches += stretch[order].split([len(part) for part in together])
        return batches

    def _labelled(self, generator: torch.Generator) -> list[Tensor]:
        if self.labelled_batch_size == 0:
            return [torch.empty(0, dtype=torch.int64)] * self.num_batches
        length = self.num_batches * self.labelled_batch_size
        return list(shuffled_rounds(self.num_labelled, length, generator).split(self.labelled_batch_size))
