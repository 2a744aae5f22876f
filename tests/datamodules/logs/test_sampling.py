"""Which lines are drawn, how often, in which order and beside which others."""

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.logs.sampling import LineSampler, cut_by_length
from lit_unlearn import reproducibility

COUNTS = np.array([500, 1, 60, 7, 3, 200, 1, 1, 20, 207])
LENGTHS = np.array([9, 4, 30, 12, 5, 7, 22, 3, 15, 11])


def sampler(**changed) -> LineSampler:
    small = {"counts": COUNTS, "lengths": LENGTHS, "power": 1.0, "lines_per_epoch": 1000, "batch_size": 32}
    labels = {"num_labelled": 7, "labelled_batch_size": 4, "seed": 0}
    return LineSampler(**small | labels | changed)


def epoch_of(made: LineSampler, epoch: int = 0, start: int = 0) -> list[tuple[Tensor, Tensor]]:
    made.set_epoch(epoch)
    made.start = start
    return list(made)


def drawn(made: LineSampler, epoch: int = 0) -> list[int]:
    """How often each line is drawn in an epoch."""
    lines = torch.cat([unlabeled for unlabeled, _ in epoch_of(made, epoch)])
    return lines.bincount(minlength=len(made.lengths)).tolist()


def equal(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    pairs = list(zip(first, second, strict=False))
    return len(first) == len(second) and all(
        torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True)
    )


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_power_one_draws_every_line_of_the_log_once(epoch: int):
    assert drawn(sampler(), epoch) == COUNTS.tolist()


def test_power_zero_draws_distinct_lines_equally_often():
    assert drawn(sampler(power=0.0)) == [100] * 10


def test_a_power_between_draws_in_proportion():
    share = COUNTS**0.5 / (COUNTS**0.5).sum()
    assert all(abs(number - 1000 * part) < 1 for number, part in zip(drawn(sampler(power=0.5)), share, strict=True))


def test_rare_lines_have_their_turn_in_some_epoch():
    made = sampler(lines_per_epoch=100)
    total = np.sum([drawn(made, epoch) for epoch in range(300)], axis=0)
    # A line that occurs once in 1000 is drawn in every tenth epoch of 100 lines; 5 standard deviations of 30.
    assert total == pytest.approx(30 * COUNTS, abs=26)


@pytest.mark.parametrize(("lines", "batch_size"), [(1000, 32), (51 * 32, 32), (51 * 32 + 1, 32), (10, 32), (33, 32)])
def test_batches_differ_by_one_line_at_most_and_are_not_larger_than_asked_for(lines: int, batch_size: int):
    made = sampler(lines_per_epoch=lines, batch_size=batch_size)
    sizes = [len(unlabeled) for unlabeled, _ in epoch_of(made)]
    assert len(sizes) == len(made) == -(-lines // batch_size)
    assert sum(sizes) == lines and max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1


def test_the_order_is_a_function_of_seed_and_epoch():
    torch.manual_seed(99)
    first = epoch_of(sampler(), 1)
    torch.manual_seed(100)
    assert equal(first, epoch_of(sampler(), 1))
    assert not equal(first, epoch_of(sampler(), 2))
    assert not equal(first, epoch_of(sampler(seed=1), 1))


@pytest.mark.parametrize("start", [1, 17, 31])
def test_a_resumed_epoch_goes_on_where_it_stopped(start: int):
    assert equal(epoch_of(sampler(), 3, start), epoch_of(sampler(), 3)[start:])


def test_lines_of_a_length_are_together_and_batches_in_random_order():
    lengths = np.random.default_rng(0).integers(3, 60, 500)
    made = sampler(counts=np.ones(500, np.int64), lengths=lengths, lines_per_epoch=5000)
    of_batches = [lengths[unlabeled.numpy()] for unlabeled, _ in epoch_of(made)]
    means = np.array([part.mean() for part in of_batches])
    assert np.mean([part.max() - part.min() for part in of_batches]) < 5  # in batches of any lines about 53
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3  # a batch says nothing about the next
    assert {tuple(sorted(part)) for part in of_batches} != {tuple(sorted(part)) for part in of_batches[:1]}


def test_a_line_meets_others_in_the_next_epoch():
    made = sampler(counts=np.ones(500, np.int64), lengths=np.full(500, 9), lines_per_epoch=500)
    first, second = ({frozenset(unlabeled.tolist()) for unlabeled, _ in epoch_of(made, epoch)} for epoch in (0, 1))
    assert not first & second


def test_labelled_lines_come_in_shuffled_rounds():
    batches = epoch_of(sampler())
    assert {len(labelled) for _, labelled in batches} == {4}
    together = torch.cat([labelled for _, labelled in epoch_of(sampler())])
    counts = together.bincount(minlength=7)
    assert len(together) == 32 * 4 and counts.max() - counts.min() <= 1


def test_without_labelled_lines_there_are_none_in_a_batch():
    assert all(len(labelled) == 0 for _, labelled in epoch_of(sampler(num_labelled=0)))


def test_labelled_lines_change_nothing_for_the_others():
    with_them, without = epoch_of(sampler(num_labelled=0)), epoch_of(sampler(num_labelled=0, labelled_batch_size=9))
    assert equal(with_them, without)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_a_batch_without_overlap(world_size: int, monkeypatch: pytest.MonkeyPatch):
    whole = epoch_of(sampler(), 1)
    parts = []
    for rank in range(world_size):
        monkeypatch.setattr(reproducibility, "_rank_and_world_size", lambda rank=rank: (rank, world_size))
        parts.append(epoch_of(sampler(), 1))
    for batch, *shares in zip(whole, *parts, strict=True):
        for together, apart in zip(batch, zip(*shares, strict=True), strict=True):
            assert sorted(torch.cat(apart).tolist()) == sorted(together.tolist())
            assert max(map(len, apart)) - min(map(len, apart)) <= 1


def test_cut_by_length_by_hand():
    # 10 10 11 12 would have 5 of 48 tokens of padding, 12 12 12 40 many more.
    assert cut_by_length(np.array([10, 10, 11, 12, 12, 12, 40]), 9) == [3, 6]
    assert cut_by_length(np.array([10, 10, 11, 12, 12, 12, 40]), 2) == [2, 4, 6]
    assert cut_by_length(np.array([5]), 3) == []


def test_cut_batches_have_little_padding_and_are_few():
    lengths = np.sort(np.random.default_rng(0).geometric(0.05, 5000) + 2)
    parts = np.split(lengths, cut_by_length(lengths, 512))
    assert np.concatenate(parts).tolist() == lengths.tolist() and max(map(len, parts)) <= 512
    assert all(1 - part.mean() / part.max() <= 0.1 + 1e-12 for part in parts)
    assert len(parts) < 5000 / 512 + 25
