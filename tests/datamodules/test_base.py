"""The batches all anomaly data sets hand out: their order, their sizes, and where a resumed epoch goes on."""

import pytest
import torch

from datamodules.anomaly.batches import PUBatch
from tests.anomaly_data import Generated


@pytest.fixture(scope="module")
def data() -> Generated:
    made = Generated(num_normal=99, contamination=0.1, num_labelled=15, batch_size=40, labelled_batch_size=20)
    made.setup()
    return made


def epoch_of(data: Generated, epoch: int, num_workers: int = 0, start: int = 0) -> list[PUBatch]:
    data.num_workers = num_workers
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    loader.load_state_dict({"batches_yielded": start})
    return list(loader)


def equal(first: list[PUBatch], second: list[PUBatch]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_an_epoch_meets_each_unlabeled_item_once_in_batches_of_about_equal_size(data: Generated):
    batches = epoch_of(data, 0)
    assert [len(batch.unlabeled) for batch in batches] == [37, 37, 36]  # 99 + 11 items, at most 40 in a batch
    met = torch.cat([batch.unlabeled for batch in batches]).flatten(1)
    assert sorted(met.tolist()) == sorted(data.unlabeled.flatten(1).tolist())


def test_labelled_items_come_in_shuffled_rounds(data: Generated):
    batches = epoch_of(data, 0)
    assert [len(batch.labelled) for batch in batches] == [20, 20, 20]
    drawn = torch.cat([batch.labelled for batch in batches]).flatten(1)
    for round_of_items in drawn.split(15):  # four rounds of the 15 items
        assert sorted(round_of_items.tolist()) == sorted(data.labelled.flatten(1).tolist())
    assert not torch.equal(drawn[:15], drawn[15:30])


def test_the_order_is_a_function_of_seed_and_epoch(data: Generated):
    assert equal(epoch_of(data, 1), epoch_of(data, 1))
    assert not equal(epoch_of(data, 1), epoch_of(data, 2))
    torch.manual_seed(99)
    first = epoch_of(data, 1)
    torch.manual_seed(100)
    assert equal(first, epoch_of(data, 1))


def test_another_seed_gives_another_order(data: Generated):
    other = Generated(num_normal=99, contamination=0.1, num_labelled=15, seed=1)
    other.setup()
    other.unlabeled, other.labelled = data.unlabeled, data.labelled
    other.batch_size, other.labelled_batch_size = data.batch_size, data.labelled_batch_size
    assert not equal(epoch_of(data, 0), epoch_of(other, 0))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_epoch_goes_on_where_it_stopped(data: Generated, num_workers: int):
    whole = epoch_of(data, 3)
    assert equal(epoch_of(data, 3, num_workers), whole)
    assert equal(epoch_of(data, 3, num_workers, start=2), whole[2:])


def test_the_position_is_counted_and_the_end_of_an_epoch_is_the_start_of_the_next(data: Generated):
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    next(batches)
    assert loader.state_dict() == {"batches_yielded": 2}
    assert equal(epoch_of(data, 0, start=3), epoch_of(data, 0))


def test_evaluation_meets_each_item_once_in_order(data: Generated):
    for loader, items in (
        (data.val_dataloader(), data.validation),
        (data.test_dataloader(), data.test),
        (data.predict_dataloader(), data.test),
    ):
        batches = list(loader)
        assert torch.equal(torch.cat([batch.x for batch in batches]), items.x)
        assert torch.equal(torch.cat([batch.kind for batch in batches]), items.kind)


def test_validation_knows_only_unlabeled_and_labelled(data: Generated):
    assert data.validation.kind.tolist() == [0] * 22 + [1] * 3  # a fifth of 99, 11 and 15


def test_setup_twice_keeps_the_first(data: Generated):
    before = data.unlabeled
    data.setup("test")
    assert data.unlabeled is before


def test_preprocess_sees_only_unlabeled_items_and_is_applied_to_all():
    class Shifted(Generated):
        def measure(self, unlabeled):
            self.measured, self.low = unlabeled, float(unlabeled.mean())

        def preprocess(self, x):
            return x - self.low

    plain, shifted = Generated(), Shifted()
    plain.setup()
    shifted.setup()
    assert torch.equal(torch.from_numpy(shifted.measured), plain.unlabeled)
    for part in ("unlabeled", "labelled"):
        assert torch.equal(getattr(shifted, part), getattr(plain, part) - shifted.low)
    for part in ("validation", "test"):
        assert torch.equal(getattr(shifted, part).x, getattr(plain, part).x - shifted.low)
