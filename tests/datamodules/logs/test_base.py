"""What every log data module does with the lines it reads."""

import hashlib

import numpy as np
import pytest
import torch

from datamodules.logs.base import LogDataModule
from datamodules.logs.batches import CLS, PAD, SEP, LineBatch, counted
from datamodules.logs.formats import named
from datamodules.logs.tokenizer import encode
from lit_unlearn.errors import UserError
from tests.logs_data import Given, small_log

WORDS = ["alpha", "bravo", "charlie", "delta", "echo"]
LINES = [f"{'DISK' if i % 10 == 9 else '-'} {1000 + 60 * i} {WORDS[i % 5]} took {i} s" for i in range(100)]


def given(lines: list[str] | None = None, **others) -> Given:
    data = Given(LINES if lines is None else lines, **others)
    data.setup()
    return data


@pytest.fixture(scope="module")
def data() -> LogDataModule:
    return small_log()


def epoch_of(data: LogDataModule, epoch: int = 0, num_workers: int = 0, start: int = 0) -> list[LineBatch]:
    data.num_workers = num_workers
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    loader.load_state_dict({"batches_yielded": start})
    return list(loader)


def equal(first: list[LineBatch], second: list[LineBatch]) -> bool:
    def same(one: LineBatch, two: LineBatch) -> bool:
        return one.text == two.text and all(torch.equal(a, b) for a, b in zip(one[:-1], two[:-1], strict=True))

    return len(first) == len(second) and all(map(same, first, second))


def test_lines_become_texts_tags_and_times():
    data = given()
    assert sorted(data.texts) == [f"{word} took [NUM] s" for word in WORDS]
    assert [data.texts[i] for i in data.line] == [f"{WORDS[i % 5]} took [NUM] s" for i in range(100)]
    assert data.tags == ["-", "DISK"] and np.flatnonzero(data.tag).tolist() == list(range(9, 100, 10))
    assert data.time.tolist() == [1000 + 60 * i for i in range(100)]
    assert (data.num_read, data.num_dropped) == (100, 0)
    assert all(array.dtype == np.int64 for array in (data.line, data.tag, data.time))


def test_lines_that_do_not_fit_are_counted_and_left_out():
    data = given(["nonsense", "", *LINES, "-"])
    assert (data.num_read, data.num_dropped) == (103, 3)
    assert len(data.line) == len(data.tag) == len(data.time) == 100


def test_more_messages_than_are_remembered_change_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = given()
    monkeypatch.setattr("datamodules.logs.base.RECENT", 3)
    short = given()
    assert short.texts == whole.texts and np.array_equal(short.line, whole.line)


def test_a_log_is_preprocessed_as_configured():
    data = given([f"- {i} Node{i} UP and up" for i in range(30)], lower=False, placeholders=[], stop_words=["and"])
    assert data.texts == [f"Node{i} UP up" for i in range(30)]


def test_too_few_lines():
    with pytest.raises(UserError) as error:
        given([*LINES[:19], "nonsense"])
    assert error.value.lines == [
        "data: 19 of 20 lines fit the format, at least 20 are needed; "
        "check data.layout against the first lines of the log"
    ]
    assert len(given([*LINES[:20], "nonsense"]).line) == 20


def test_the_vocabulary_is_learned_from_training_lines_only():
    """Words of held-out, labelled and test lines are not looked at."""
    lines = list(LINES)
    lines[95] = "- 9000 zulu took 1 s"
    data, other = given(lines), given()
    assert data.train.tolist() == other.train.tolist()
    assert data.tokenizer.to_str() == other.tokenizer.to_str()
    assert not any("z" in token for token in data.tokenizer.get_vocab())
    held_out = int(data.validation[0])
    lines[held_out] = f"- 9000 {'zz' * 9} took 1 s"
    again = given(lines)
    assert held_out in again.validation and again.tokenizer.to_str() == other.tokenizer.to_str()
    lines[int(data.train[0])] = "- 9000 zulu took 1 s"
    assert any("z" in token for token in given(lines).tokenizer.get_vocab())


def test_every_text_is_encoded_as_the_tokenizer_has_it(data: LogDataModule):
    encoded = encode(data.tokenizer, data.texts)
    assert data.encoded.lengths.tolist() == list(map(len, encoded)) and max(map(len, encoded)) <= 48
    assert data.encoded.batch(np.array([7])).tolist() == [encoded[7]]
    assert data.vocab_size == data.tokenizer.get_vocab_size() == 300
    assert set(data.offers) == {"vocab_size", "max_length", "num_labelled"}


def test_training_batches_hold_unlabeled_and_labelled_lines(data: LogDataModule):
    training, known = ({data.texts[i] for i in data.line[part]} for part in (data.train, data.labelled))
    for batch in epoch_of(data):
        assert batch.labelled.tolist() == [False] * 16 + [True] * 4
        assert set(batch.text[:16]) <= training and set(batch.text[16:]) <= known
        assert batch.counts.tolist() == [1] * 20
        for row, text in zip(batch.tokens, batch.text, strict=True):
            assert row[row != PAD].tolist() == encode(data.tokenizer, [text])[0]
        assert (batch.tokens[:, 0] == CLS).all() and (batch.tokens[:, -1] != PAD).any()


def test_with_power_one_an_epoch_is_the_training_part():
    data = given(power=1.0, batch_size=7)
    texts = sorted(text for batch in epoch_of(data) for text in batch.text)
    assert texts == sorted(data.texts[i] for i in data.line[data.train])


def test_the_order_is_a_function_of_seed_and_epoch(data: LogDataModule):
    torch.manual_seed(99)
    first = epoch_of(data, 1)
    torch.manual_seed(100)
    assert equal(first, epoch_of(data, 1))
    assert not equal(first, epoch_of(data, 2))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_epoch_goes_on_where_it_stopped(data: LogDataModule, num_workers: int):
    whole = epoch_of(data, 3)
    assert equal(epoch_of(data, 3, num_workers), whole)
    assert equal(epoch_of(data, 3, num_workers, start=2), whole[2:])


def padding(batches: list[LineBatch]) -> float:
    """Share of the tokens of batches that is padding."""
    tokens = [batch.tokens for batch in batches]
    return float(sum((part == PAD).sum() for part in tokens) / sum(part.numel() for part in tokens))


def test_padding_is_under_a_tenth():
    """As experiments/data/generated.yaml has it, for training and for scoring."""
    data = small_log(num_lines=8000, num_labelled=0, batch_size=32, lines_per_epoch=8000, vocab_size=2000)
    assert padding(epoch_of(data)) < 0.1
    assert padding(list(data.predict_dataloader())) < 0.1
    assert padding(list(data.val_dataloader())) < 0.1


def test_prediction_meets_each_distinct_test_line_once(data: LogDataModule):
    batches = list(data.predict_dataloader())
    met = [text for batch in batches for text in batch.text]
    assert sorted(met) == sorted({data.texts[i] for i in data.line[data.test]})
    lengths = torch.cat([counted(batch.tokens).sum(1) for batch in batches])
    assert (lengths.diff() >= 0).all()
    assert not any(batch.labelled.any() for batch in batches)
    assert all((batch.tokens == SEP).sum(1).eq(1).all() for batch in batches)


def test_validation_counts_how_often_a_line_occurs(data: LogDataModule):
    met = {
        text: count
        for batch in data.val_dataloader()
        for text, count in zip(batch.text, batch.counts.tolist(), strict=True)
    }
    texts, counts = np.unique([data.texts[i] for i in data.line[data.validation]], return_counts=True)
    assert met == dict(zip(texts.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("batch_size", [1, 7, 512])
def test_the_loader_says_which_line_comes_when(data: LogDataModule, batch_size: int):
    distinct = np.random.default_rng(0).permutation(len(data.texts))[:50]
    loader = data.loader(distinct, batch_size=batch_size)
    batches = list(loader)
    assert max(len(batch.text) for batch in batches) <= batch_size
    predictions = [text for batch in batches for text in batch.text]
    scores = np.empty(50, object)
    scores[loader.dataset.order] = predictions
    assert scores.tolist() == [data.texts[i] for i in distinct]


def test_hashes_are_of_the_line_numbers(data: LogDataModule):
    hashes = data.hashes()
    assert list(hashes) == ["train", "validation", "labelled", "test"]
    expected = hashlib.sha256(b"".join(int(line).to_bytes(8, "little") for line in data.test)).hexdigest()[:16]
    assert hashes["test"] == expected
    assert "labelled" not in small_log(num_labelled=0).hashes()
    assert small_log(seed=1).hashes()["train"] != hashes["train"]


def test_setup_twice_keeps_the_first(data: LogDataModule):
    before = data.train
    data.setup("test")
    assert data.train is before


def test_a_checkpoint_brings_the_tokenizer(data: LogDataModule):
    other = Given([])
    other.load_state_dict(data.state_dict())
    assert other.vocab_size == data.vocab_size and other.tokenizer.to_str() == data.tokenizer.to_str()
    again = small_log()
    again.load_state_dict(data.state_dict())  # of the same log: as it was


def test_the_tokenizer_of_another_log_is_refused(data: LogDataModule):
    for load_first in (True, False):
        other = Given(LINES)
        if load_first:
            other.load_state_dict(data.state_dict())
        else:
            other.setup()
        with pytest.raises(UserError, match="the tokenizer of the checkpoint does not belong to this log"):
            other.setup() if load_first else other.load_state_dict(data.state_dict())


def test_moved_to_a_device_a_batch_keeps_its_lines(data: LogDataModule):
    batch = next(iter(data.val_dataloader()))
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.text == batch.text and all(part.device.type == "meta" for part in moved[:-1])


UNLABELED = [line.split(maxsplit=1)[1] for line in LINES]


def without_label(**others) -> Given:
    data = Given(UNLABELED, **others)
    data.format = named("columns", time=0, message=1)
    data.setup()
    return data


def test_a_log_without_labels_where_they_are_asked_for():
    with pytest.raises(UserError, match=r"^data: line 1 of the log has no label.* data.unlabeled=true"):
        without_label()


def test_a_log_without_labels():
    data = without_label(unlabeled=True)
    assert data.tags == ["-"] and not data.tag.any()
    assert len(data.train) + len(data.validation) == 80 and len(data.test) == 20


def test_labels_that_are_not_to_be_looked_at():
    data = given(unlabeled=True)
    assert data.tags == ["-"] and not data.tag.any()
    assert len(data.train) + len(data.validation) == 80


def test_lines_without_a_time_have_their_number():
    data = Given([f"- {word} {i}" for i, word in enumerate(WORDS * 10)])
    data.format = named("columns", label=0, message=1)
    data.setup()
    assert data.time.tolist() == list(range(50))
