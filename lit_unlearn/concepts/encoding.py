"""Views as tokens: exactly those are labelled that write the span.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from datamodules.llm.batches import ENTITY_ABSENT, IGNORED
from datamodules.llm.items import EncodedItems, Item
from lit_unlearn.concepts.sentences import token_span
from lit_unlearn.concepts.views import View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Encoded(NamedTuple):
    """Views that can be trained with.

    Attributes:
        items: of the views that are left, N of them.
        kept: (N,) int64, which these are.
        dropped: how many are too long, or have a span that ends within a token.
    """

    items: EncodedItems
    kept: Tensor
    dropped: int


def encode_views(
    views: Sequence[View], tokenizer: "PreTrainedTokenizerFast", max_length: int, templated: bool
) -> Encoded | None:
    """Tokens and labels of views; a view is dropped and counted rather than cut.

    Args:
        views: any number.
        tokenizer: a fast one.
        max_length: tokens.
        templated: the texts hold the special tokens already.

    Returns:
        None where no view is left.
    """
    rows, labelled, ends, kept = [], [], [], []
    texts = [view.text for view in views]
    encoded = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=not templated) if texts else {}
    for number, view in enumerate(views):
        ids, offsets = encoded["input_ids"][number], encoded["offset_mapping"][number]
        span = token_span(offsets, view.text, view.span)
        if span is None or span[1] > max_length or span[1] < 2:  # nothing predicts the first token
            continue
        end = [tokenizer.eos_token_id] if view.closed and tokenizer.eos_token_id is not None else []
        rows.append([*ids[: span[1]], *end])  # what else follows has no influence on what is labelled
        labelled.append((span[0], span[1] + len(end)))
        ends.append(_entity_end(view, offsets[: span[1]]))
        kept.append(number)
    if not rows:
        return None
    written = [Item(views[n].text[: views[n].context], views[n].text[slice(*views[n].span)]) for n in kept]
    items = EncodedItems(written, rows, [max(0, start - 1) for start, _ in labelled], ends)
    column = torch.arange(items.tokens.shape[1])
    start, end = torch.tensor(labelled).T[..., None]
    items.labels = items.tokens.masked_fill((column < start) | (column >= end), IGNORED)
    return Encoded(items, torch.tensor(kept), len(views) - len(kept))


def _entity_end(view: View, offsets: Sequence[tuple[int, int]]) -> int:
    at = view.text.rfind(view.entity, 0, view.context) if view.entity else -1
    if at < 0:
        return ENTITY_ABSENT
    inside = [i for i, (a, b) in enumerate(offsets) if a < at + len(view.entity) and b > max(a, at)]
    return inside[-1] if inside else ENTITY_ABSENT
