"""What the untouched model says of the items that are trained with: computed once, or by a second model at each step.

The items do not change, so a table does what a second model in memory and a second forward pass at each step would.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_unlearn.losses.tokens import IGNORED, answer_logits, sequence_log_probs
from lit_unlearn.networks.causal_lm import TruncatedLM, blocks, rows_at_once

Quantity = Literal["log_probs", "distributions", "states", "final_states"]
Pool = Literal["forget", "refusal", "unknown", "retain"]
Need = tuple[Pool, Quantity]
"""A pool of items, and what is asked of the untouched model about them."""

TOP = 1024
"""Tokens that a distribution is kept of, at most; the others have what is left."""


def top_log_probs(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The distributions that predict the answer tokens, row by row.

    Args:
        logits: (B, T, V).
        labels: (B, T).

    Returns:
        (n, k) log-probabilities of the k = min(V, `TOP`) most probable tokens, and (n, k) which they are.
    """
    values, indices = answer_logits(logits, labels)[0].log_softmax(-1).topk(min(TOP, logits.shape[-1]))
    return values, indices


def all_log_probs(values: Tensor, indices: Tensor, vocab_size: int) -> Tensor:
    """Distributions of `top_log_probs` over the whole vocabulary; the tokens that are not listed share what is left.

    Args:
        values, indices: (n, k).
        vocab_size: V >= k.

    Returns:
        (n, V) log-probabilities, finite.
    """
    tiny = torch.finfo(values.dtype).tiny
    others = (1 - values.exp().sum(-1, keepdim=True)).clamp_min(tiny) / max(1, vocab_size - values.shape[-1])
    return others.log().expand(-1, vocab_size).scatter(-1, indices, values)


class ResidentReference:
    """A model in eval mode that is asked at each step; nothing of it is changed.

    Args:
        model: the untouched model.
        layer: whose states are asked for.
    """

    def __init__(self, model: nn.Module, layer: int):
        self.model = model
        self.truncated, self.final = TruncatedLM(model, layer), TruncatedLM(model, len(blocks(model)) - 1)

    @torch.no_grad()
    def log_probs(self, pool: Pool, batch: Any) -> Tensor:
        """(B,) log-probabilities of the answers."""
        return sequence_log_probs(self.model(batch.tokens, use_cache=False).logits, batch.labels)

    @torch.no_grad()
    def distributions(self, pool: Pool, batch: Any) -> tuple[Tensor, Tensor]:
        """See `top_log_probs`."""
        return top_log_probs(self.model(batch.tokens, use_cache=False).logits, batch.labels)

    @torch.no_grad()
    def states(self, pool: Pool, batch: Any) -> Tensor:
        """(B, T, d) residual stream after the layer."""
        return self.truncated(batch.tokens)

    @torch.no_grad()
    def final_states(self, pool: Pool, batch: Any) -> Tensor:
        """(B, T, d) residual stream after the last block, before the final norm."""
        return self.final(batch.tokens)


class CachedReference:
    """Tables over the pools, filled once.

    Args:
        model: the untouched model in eval mode, on the device to compute on.
        layer: whose states are kept.
        pools: has a pool of items for each name.
        needs: which tables.
        batch_size: items at a time, at most.
    """

    def __init__(self, model: nn.Module, layer: int, pools: Any, needs: tuple[Need, ...], batch_size: int = 64):
        source, device = ResidentReference(model, layer), next(model.parameters()).device
        self.tables: dict[Need, Any] = {}
        for pool, quantity in dict.fromkeys(needs):
            items = getattr(pools, pool)
            parts = []
            vocab_size: int = model.config.vocab_size  # type: ignore[union-attr, assignment]
            at_once = rows_at_once(items.tokens.shape[1], vocab_size, batch_size)
            for rows in torch.arange(len(items)).split(at_once):
                batch = type(items.batch(rows))(*(x.to(device) for x in items.batch(rows)))
                parts.append(getattr(source, quantity)(pool, batch))
            self.tables[pool, quantity] = getattr(self, f"_{quantity}_table")(parts, items)

    def log_probs(self, pool: Pool, batch: Any) -> Tensor:
        """(B,) log-probabilities of the answers."""
        return self.tables[pool, "log_probs"][batch.item.cpu()].to(batch.tokens.device)

    def distributions(self, pool: Pool, batch: Any) -> tuple[Tensor, Tensor]:
        """See `top_log_probs`."""
        values, indices, start, count = self.tables[pool, "distributions"]
        rows = _ranges(start[batch.item.cpu()], count[batch.item.cpu()])
        return values[rows].to(batch.tokens.device), indices[rows].to(batch.tokens.device).long()

    def states(self, pool: Pool, batch: Any) -> Tensor:
        """(B, T, d) residual stream after the layer; zeros where a row is padding."""
        return self._padded((pool, "states"), batch)

    def final_states(self, pool: Pool, batch: Any) -> Tensor:
        """(B, T, d) residual stream after the last block; zeros where a row is padding."""
        return self._padded((pool, "final_states"), batch)

    def _padded(self, need: Need, batch: Any) -> Tensor:
        states, start, count = self.tables[need]
        item = batch.item.cpu()
        padded = states.new_zeros(*batch.tokens.shape, states.shape[-1])
        padded[torch.arange(padded.shape[1]) < count[item][:, None]] = states[_ranges(start[item], count[item])]
        return padded.to(batch.tokens.device)

    @staticmethod
    def _log_probs_table(parts: list[Tensor], items: Any) -> Tensor:
        return torch.cat(parts).cpu()

    @staticmethod
    def _distributions_table(parts: list[tuple[Tensor, Tensor]], items: Any) -> tuple[Tensor, ...]:
        values, indices = (torch.cat(halves).cpu() for halves in zip(*parts, strict=True))
        count = (items.labels[:, 1:] != IGNORED).sum(1)
        return values, indices.int(), count.cumsum(0) - count, count

    @staticmethod
    def _states_table(parts: list[Tensor], items: Any) -> tuple[Tensor, ...]:
        count, at, rows = items.lengths, 0, []
        for part in parts:
            real = torch.arange(part.shape[1]) < count[at : at + len(part), None]
            rows.append(part.cpu()[real])
            at += len(part)
        return torch.cat(rows), count.cumsum(0) - count, count

    _final_states_table = _states_table


def _ranges(start: Tensor, count: Tensor) -> Tensor:
    """The numbers start[0], ..., start[0] + count[0] - 1, start[1], ... in one tensor."""
    offset = start - (count.cumsum(0) - count)
    return torch.arange(int(count.sum())) + offset.repeat_interleave(count)
