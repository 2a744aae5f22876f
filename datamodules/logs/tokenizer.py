"""A WordPiece vocabulary learned from the training lines alone, and lines as token ids in one flat array."""

from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

from datamodules.logs.batches import CLS, PAD, SEP, SPECIAL, UNK


def train_wordpiece(lines: list[str], vocab_size: int, placeholders: list[str], max_length: int) -> Tokenizer:
    """Learns a vocabulary (Schuster and Nakajima, 2012; `tokenizers`).

    Args:
        lines: distinct preprocessed training lines.
        vocab_size: at most so many tokens, special ones and placeholders included.
        placeholders: kept whole, a token each, whether they occur in `lines` or not.
        max_length: of a line in tokens, [CLS] and [SEP] included; what is longer is cut.
    """
    words = pre_tokenizers.BertPreTokenizer()
    learner = Tokenizer(models.WordPiece(unk_token=SPECIAL[UNK]))
    learner.pre_tokenizer = words
    # The trainer numbers letters inside words in the random order of a hash map and breaks ties by these numbers;
    # letters that it is given beforehand have fixed ones, and the same lines lead to the same vocabulary.
    inside = {letter for line in lines for word, _ in words.pre_tokenize_str(line) for letter in word[1:]}
    special = SPECIAL + placeholders
    given = special + [f"##{letter}" for letter in sorted(inside)]
    learner.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=given, show_progress=False)
    )
    tokenizer = Tokenizer(models.WordPiece(learner.get_vocab(), unk_token=SPECIAL[UNK]))
    tokenizer.pre_tokenizer = words
    tokenizer.add_special_tokens(special)
    tokenizer.enable_truncation(max_length - 2)
    return tokenizer


def encode(tokenizer: Tokenizer, lines: list[str]) -> list[list[int]]:
    """Token ids of lines, [CLS] ... [SEP]; a line of which nothing is left is [CLS] [UNK] [SEP]."""
    return [framed(line.ids) for line in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]


def framed(ids: list[int]) -> list[int]:
    """Token ids of a line between [CLS] and [SEP]."""
    return [CLS, *(ids or [UNK]), SEP]


class EncodedLines:
    """Token ids of many lines, one after another in memory, padded only when a batch is made.

    Args:
        lines: token ids of each line.
    """

    def __init__(self, lines: list[list[int]]):
        self.lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        self.start = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.flat = np.fromiter(chain.from_iterable(lines), np.int32, int(self.lengths.sum()))

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """(B, T) int64 tokens of the lines with these indices, filled up with PAD to the longest."""
        lengths = self.lengths[indices]
        place = np.arange(lengths.max())
        inside = place < lengths[:, None]
        at = np.where(inside, self.start[indices][:, None] + place, 0)
        return torch.from_numpy(np.where(inside, self.flat[at], PAD).astype(np.int64))
