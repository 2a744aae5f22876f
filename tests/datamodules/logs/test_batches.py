"""What a batch of lines is made of."""

import torch

from datamodules.logs.batches import CLS, MASK, PAD, SEP, SPECIAL, UNK, counted, padded


def test_ids_are_the_places_of_their_names():
    named = [(PAD, "[PAD]"), (UNK, "[UNK]"), (CLS, "[CLS]"), (SEP, "[SEP]"), (MASK, "[MASK]")]
    assert [SPECIAL[number] for number, _ in named] == [name for _, name in named]
    assert PAD == 0  # the padding of transformers' embeddings, which gets no gradient


def test_padded_to_the_longest():
    tokens = padded([[CLS, 7, SEP], [CLS, 7, 8, 9, SEP]])
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [[CLS, 7, SEP, PAD, PAD], [CLS, 7, 8, 9, SEP]]


def test_counted_are_the_tokens_of_the_line():
    """An unknown word and a masked token are the line's own."""
    tokens = padded([[CLS, UNK, MASK, 9, SEP], [CLS, UNK, SEP]])
    assert counted(tokens).tolist() == [[False, True, True, True, False], [False, True, False, False, False]]
