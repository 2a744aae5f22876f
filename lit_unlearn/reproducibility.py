"""Runs that can be stopped at any step and continued to equal bits.

Three things decide what a training step computes, and none of them lives in hidden state:

- the order of the data is a function of (seed, epoch): `EpochBatchSampler`;
- the position in that order is in the checkpoint: `ResumableLoader`;
- the noise (dropout, augmentation, sampling) is a function of (seed, step, rank): `StepSeed`.
"""

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on their order (a hash, not a sum)."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class StepSeed(Callback):
    """Seeds torch, NumPy and `random` before every training batch from (seed, batches seen so far, rank).

    Stateless, hence right on every rank and after every resume. The count of batches is used rather than
    `global_step`, which advances more than once a batch when a method steps several optimisers by hand.

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        step = trainer.fit_loop.epoch_loop.total_batch_idx
        seed = derived_seed("step", self.seed, step, trainer.global_rank)
        if torch.accelerator.is_available():
            torch.manual_seed(seed)
        else:  # `torch.manual_seed` would queue a call for a GPU that may come, with a stack trace, at every step
            torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)


class ResumableSampler(Sampler):
    """A sampler of batches whose order is a function of (seed, epoch); a subclass defines `__len__` and `__iter__`.

    `__iter__` leaves out the first `start` batches, and hands each process its share of a batch, see `share`.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.epoch = 0
        self.start = 0  # batches of the epoch already done: skipped without being fetched

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def generator(self) -> torch.Generator:
        """The source of randomness of this epoch's order."""
        return torch.Generator().manual_seed(derived_seed("order", self.seed, self.epoch))

    @staticmethod
    def share(indices: Tensor) -> Tensor:
        """What this process takes of a batch's indices: every `world_size`-th."""
        rank, world_size = _rank_and_world_size()
        return indices[rank::world_size]


class EpochBatchSampler(ResumableSampler):
    """Batches of indices into several pools at once; the order is a function of (seed, epoch) alone.

    The first pool sets the length of an epoch: each of its items is met once, in batches whose sizes differ by at
    most one (no small last batch, which would disturb batch statistics). The others are walked through in shuffled
    rounds, so that each batch holds the same number of their items. `batch_sizes` are those of the whole job: with
    several processes each takes every `world_size`-th index of a batch, so that the optimisation is the same on one
    device and on many.

    Args:
        sizes: number of items of each pool.
        batch_sizes: items of each pool in a batch, over all processes.
        seed: the run's seed.

    Yields:
        a tuple of int64 index tensors, one a pool.
    """

    def __init__(self, sizes: list[int], batch_sizes: list[int], seed: int):
        super().__init__(seed)
        self.sizes, self.batch_sizes = sizes, batch_sizes
        self.num_batches = -(-sizes[0] // batch_sizes[0])

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        generator = self.generator()
        first = torch.randperm(self.sizes[0], generator=generator).tensor_split(self.num_batches)
        others = [
            shuffled_rounds(size, self.num_batches * batch, generator).split(batch)
            for size, batch in zip(self.sizes[1:], self.batch_sizes[1:], strict=True)
        ]
        for batch in list(zip(first, *others, strict=True))[self.start :]:
            yield tuple(self.share(indices) for indices in batch)


def shuffled_rounds(size: int, length: int, generator: torch.Generator) -> Tensor:
    """(length,) indices into a pool: all of it in random order, again and again."""
    rounds = -(-length // size)
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(rounds)])[:length]


def _rank_and_world_size() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class ResumableLoader(DataLoader):
    """A DataLoader whose position inside an epoch is part of the checkpoint.

    The data set is indexed with a whole batch of indices at a time (one tensor operation, no per-item Python).
    Lightning stores `state_dict` with its loops and hands it back before the first batch.

    Args:
        dataset: maps what the sampler yields to a batch.
        sampler: the order; its `start` is set to skip what a resumed epoch has behind it.
        num_workers: loader processes; 0 loads in the training process, which is best for data in memory.
    """

    def __init__(self, dataset: Dataset, sampler: ResumableSampler, num_workers: int = 0):
        super().__init__(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=_as_is,
            persistent_workers=False,
        )
        self._yielded = 0
        self._resume_at = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator: its body runs at the first `next`, after Lightning has set the sampler's epoch.
        assert isinstance(self.sampler, ResumableSampler)
        self._yielded = self.sampler.start = self._resume_at
        self._resume_at = 0
        for batch in super().__iter__():
            self._yielded += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"batches_yielded": self._yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        # A checkpoint made after the last batch of an epoch continues with the first of the next.
        self._resume_at = state["batches_yielded"] % len(self)


def _as_is(batch: Any) -> Any:
    return batch
