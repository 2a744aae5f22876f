"""The vocabulary learned from training lines, and lines as ids in one array."""

import numpy as np
import pytest
import torch

from datamodules.logs.batches import CLS, PAD, SEP, SPECIAL, UNK, padded
from datamodules.logs.generator import generate
from datamodules.logs.preprocessing import PLACEHOLDERS, Preprocessor
from datamodules.logs.tokenizer import EncodedLines, encode, train_wordpiece

preprocess = Preprocessor()
LINES = sorted({preprocess(line.split(maxsplit=2)[2]) for line in generate(1000, 0)})


def learned(lines: list[str] = LINES, vocab_size: int = 400, max_length: int = 64):
    return train_wordpiece(lines, vocab_size, PLACEHOLDERS, max_length)


def test_special_tokens_come_first_then_the_placeholders():
    vocabulary = learned().get_vocab()
    expected = SPECIAL + PLACEHOLDERS
    assert [vocabulary[name] for name in expected] == list(range(len(expected)))


def test_at_most_as_many_tokens_as_asked_for():
    assert learned(vocab_size=200).get_vocab_size() == 200
    assert learned(["a b a"], vocab_size=200).get_vocab_size() == len(SPECIAL + PLACEHOLDERS) + 2


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_is_a_token_whether_training_had_it_or_not(placeholder: str):
    tokenizer = learned(["job ended"])
    (ids,) = encode(tokenizer, [f"job {placeholder} ended"])
    assert ids.count(tokenizer.token_to_id(placeholder)) == 1
    assert len(ids) == 5 and UNK not in ids


def test_words_of_the_training_lines_are_read_back():
    tokenizer = learned()
    for line in LINES[:50]:
        tokens = [tokenizer.id_to_token(i) for i in encode(tokenizer, [line])[0]]
        assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]") and "[UNK]" not in tokens
        assert "".join(token.removeprefix("##") for token in tokens[1:-1]) == line.replace(" ", "")


def test_frequent_words_are_one_token():
    lines = [f"node started task{chr(97 + i)}" for i in range(26)]
    tokenizer = learned(lines)
    assert [tokenizer.id_to_token(i) for i in encode(tokenizer, ["node started"])[0][1:-1]] == ["node", "started"]


def test_trained_again_it_is_the_same():
    first = learned().to_str()
    assert all(learned().to_str() == first for _ in range(5))


def test_a_word_of_unknown_letters_is_one_unknown_token():
    tokenizer = learned()
    assert encode(tokenizer, ["\u4e2d\u6587"]) == [[CLS, UNK, SEP]]
    ids = encode(tokenizer, ["job \u4e2d\u6587 started"])[0]
    assert ids.count(UNK) == 1 and len(ids) > 4


@pytest.mark.parametrize("line", ["", "   "])
def test_an_empty_line_is_one_unknown_token(line: str):
    """A line without any counted token would have no score."""
    assert encode(learned(), [line]) == [[CLS, UNK, SEP]]


def test_a_long_line_is_cut_between_its_ends():
    tokenizer = learned(max_length=8)
    (whole,), (cut,) = encode(learned(), [LINES[0] * 5]), encode(tokenizer, [LINES[0] * 5])
    assert len(whole) > 8 and len(cut) == 8
    assert cut == [*whole[:7], SEP]


def test_a_line_does_not_depend_on_the_others():
    tokenizer = learned()
    assert encode(tokenizer, LINES[:40]) == [encode(tokenizer, [line])[0] for line in LINES[:40]]


def test_encoded_lines_give_padded_batches():
    lines = encode(learned(), LINES)
    encoded = EncodedLines(lines)
    assert encoded.lengths.tolist() == list(map(len, lines))
    chosen = np.random.default_rng(0).integers(len(lines), size=20)
    batch = encoded.batch(chosen)
    assert batch.dtype == torch.int64
    assert torch.equal(batch, padded([lines[i] for i in chosen]))


def test_the_last_line_alone_and_a_line_twice():
    encoded = EncodedLines([[CLS, 7, SEP], [CLS, SEP]])
    assert encoded.batch(np.array([1])).tolist() == [[CLS, SEP]]
    assert encoded.batch(np.array([1, 0, 1])).tolist() == [[CLS, SEP, PAD], [CLS, 7, SEP], [CLS, SEP, PAD]]
