"""Order, position and noise of a training step are functions of what a checkpoint holds."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_unlearn import reproducibility
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader, StepSeed, derived_seed


def noise(seed: int, step: int, rank: int) -> tuple[float, float, float]:
    """What torch, NumPy and `random` draw in a step."""
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=step))
    trainer = SimpleNamespace(fit_loop=loop, global_rank=rank)
    StepSeed(seed).on_train_batch_start(trainer, None, None, batch_idx=0)  # type: ignore[arg-type]
    return torch.rand(()).item(), np.random.rand(), random.random()


def test_noise_is_a_function_of_seed_step_and_rank():
    first = noise(1, 2, 3)
    draws = [noise(*numbers) for numbers in [(1, 2, 3), (1, 3, 2), (2, 1, 3), (3, 2, 1), (2, 2, 2), (0, 3, 3)]]
    assert draws[0] == first  # whatever was drawn in between
    for generator in zip(*draws, strict=True):
        assert len(set(generator)) == len(draws)  # a sum of the three would repeat itself


def test_derived_seeds_depend_on_every_part_and_its_place():
    seeds = {derived_seed(*parts) for parts in [("a", 1, 2), ("a", 2, 1), ("b", 1, 2), ("a", 12), ("a", 1), ("a",)]}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed("a", 1, 2) == 1109131393015722106  # of every version: runs of an older one go on as they began


def batches(sampler: EpochBatchSampler) -> list[tuple[list[int], ...]]:
    return [tuple(indices.tolist() for indices in batch) for batch in sampler]


def test_an_epoch_meets_each_item_of_the_first_pool_once():
    sampler = EpochBatchSampler([11, 5], [4, 3], seed=0)
    epoch = batches(sampler)
    assert len(sampler) == len(epoch) == 3
    assert sorted(item for first, _ in epoch for item in first) == list(range(11))
    assert [len(first) for first, _ in epoch] == [4, 4, 3]  # as equal as can be
    assert [len(second) for _, second in epoch] == [3, 3, 3]
    others = [item for _, second in epoch for item in second]
    assert sorted(others[:5]) == list(range(5))  # a whole round before any comes again


def test_the_order_is_a_function_of_seed_and_epoch():
    sampler = EpochBatchSampler([50, 20], [10, 5], seed=0)
    first = batches(sampler)
    assert batches(sampler) == first
    sampler.set_epoch(1)
    second = batches(sampler)
    sampler.set_epoch(0)
    assert batches(sampler) == first != second
    assert batches(EpochBatchSampler([50, 20], [10, 5], seed=1)) != first


def test_processes_share_each_batch(monkeypatch: pytest.MonkeyPatch):
    whole = batches(EpochBatchSampler([50, 20], [10, 5], seed=0))
    parts = []
    for rank in range(2):
        monkeypatch.setattr(reproducibility, "_rank_and_world_size", lambda rank=rank: (rank, 2))
        parts.append(batches(EpochBatchSampler([50, 20], [10, 5], seed=0)))
    for batch, first, second in zip(whole, *parts, strict=True):
        for pool in range(2):
            assert sorted(first[pool] + second[pool]) == sorted(batch[pool])
            assert not set(first[pool]) & set(second[pool])


class Squares(Dataset):
    """Item i is i squared; counts how often it is asked in this process."""

    asked = 0

    def __getitem__(self, indices: tuple[Tensor]) -> Tensor:
        self.asked += 1
        return indices[0].square()


def loader(num_workers: int = 0) -> ResumableLoader:
    return ResumableLoader(Squares(), EpochBatchSampler([20], [4], seed=0), num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_a_loader_goes_on_where_it_was(done: int, num_workers: int):
    whole, whole_next = [list(loader_of_epoch(epoch)) for epoch in (2, 3)]
    stopped = loader_of_epoch(2, num_workers)
    batches = iter(stopped)
    for _ in range(done):
        next(batches)
    resumed = loader_of_epoch(2 if done < 5 else 3, num_workers)  # after the last batch comes the next epoch
    resumed.load_state_dict(stopped.state_dict())
    rest = list(resumed)
    expected = whole[done:] if done < 5 else whole_next
    assert len(rest) == len(expected) and all(map(torch.equal, rest, expected))
    resumed.sampler.set_epoch(3)  # type: ignore[union-attr]
    assert all(map(torch.equal, list(resumed), whole_next))  # from its beginning, whole


def loader_of_epoch(epoch: int, num_workers: int = 0) -> ResumableLoader:
    made = loader(num_workers)
    made.sampler.set_epoch(epoch)  # type: ignore[union-attr]
    return made


def test_batches_that_are_skipped_are_not_fetched():
    resumed = loader()
    resumed.load_state_dict({"batches_yielded": 3})
    assert len(list(resumed)) == 2
    assert resumed.dataset.asked == 2  # type: ignore[attr-defined]


def test_workers_that_prefetch_do_not_count():
    stopped = loader(num_workers=2)
    next(iter(stopped))
    assert stopped.state_dict() == {"batches_yielded": 1}
