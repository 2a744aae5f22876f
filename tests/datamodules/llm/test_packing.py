"""Packed documents: all there, in order, and none sees another."""

import pytest
import torch

from datamodules.llm.batches import IGNORED
from datamodules.llm.packing import PackedText
from tests import llm_data

DOCUMENTS = [[5, 6], [7, 8, 9], list(range(10, 30)), [30, 31], [32, 33, 34, 35, 36, 37], [38] * 8, [39, 40]]


def parts(packed: PackedText) -> list[list[int]]:
    """The tokens of every document, where positions restart; padding is 0."""
    found = []
    for tokens, positions in zip(packed.tokens.tolist(), packed.positions.tolist(), strict=True):
        for token, position in zip(tokens, positions, strict=True):
            if position == 0:
                found.append([])
            found[-1].append(token)
    return [part for part in found if any(part)]


@pytest.mark.parametrize("block", [8, 9, 20, 100])
def test_nothing_is_lost(block: int):
    packed = PackedText(DOCUMENTS, block)
    cut = [part[i : i + block] for part in DOCUMENTS for i in range(0, len(part), block)]
    assert parts(packed) == cut
    assert packed.tokens.shape == packed.labels.shape == packed.positions.shape == (len(packed), block)


def test_positions_restart_and_only_first_tokens_are_not_learnt():
    packed = PackedText([[5, 6, 7], [8, 9], [1, 2, 3, 4, 5, 6, 7, 8]], 6)
    assert packed.tokens.tolist() == [[5, 6, 7, 8, 9, 0], [1, 2, 3, 4, 5, 6], [7, 8, 0, 0, 0, 0]]
    assert packed.positions.tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 2, 3]]
    no = IGNORED
    assert packed.labels.tolist() == [[no, 6, 7, no, 9, no], [no, 2, 3, 4, 5, 6], [no, 8, no, no, no, no]]


def test_a_block_is_filled_as_far_as_documents_fit():
    assert len(PackedText([[1, 2]] * 6, 4)) == 3
    assert len(PackedText([[1, 2, 3]] * 6, 4)) == 6


def test_blocks_are_asked_for_by_number():
    packed = PackedText(DOCUMENTS, 8)
    batch = packed[(torch.tensor([2, 0]),)]
    assert torch.equal(batch.tokens, packed.tokens[[2, 0]]) and torch.equal(batch.labels, packed.labels[[2, 0]])
    assert torch.equal(batch.positions, packed.positions[[2, 0]])


@pytest.mark.parametrize("block", [8, 20])
def test_packed_logits_are_those_of_each_document_alone(block: int):
    model = llm_data.small_model(41)
    packed = PackedText(DOCUMENTS, block)
    with torch.no_grad():
        together = model(packed.tokens, position_ids=packed.positions, use_cache=False).logits
        at = iter((row, k) for row in range(len(packed)) for k in range(block))
        for part in parts(packed):
            row, start = next((row, k) for row, k in at if packed.positions[row, k] == 0 and packed.tokens[row, k] != 0)
            alone = model(torch.tensor([part])).logits[0]
            torch.testing.assert_close(together[row, start : start + len(part)], alone, rtol=0, atol=1e-5)
