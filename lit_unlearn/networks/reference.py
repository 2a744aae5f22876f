"""What the untouched model says of the items that are trained with: computed once, or by a second model at each step.

The items do not change, so a table does what a second model in memory and a second forward pass at each step would.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_unlearn.losses.tokens import aligned, sequence_log_probs
from lit_unlearn.networks.causal_lm import TruncatedLM

Quantity = Literal["log_probs", "distributions", "states"]
Need = tuple[Literal["forget", "refusal", "unknown", "retain"], Quantity]
"""A pool of items, and what is asked of the untouched model about them."""

TOP = 1024
"""Tokens of a cached distribution; one more entry holds the probability of all others."""


def top_log_probs(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The distributions that predict the answer tokens, row by row.

    Args:
        logits: (B, T, V).
        labels: (B, T).

    Returns:
        (n, k) log-probabilities of the k = min(V, `TOP`) most probable tokens, and (n, k) which they are.
    """
    shifted, _, mask = aligned(logits, labels)
    return shifted[mask].log_softmax(-1).topk(min(TOP, logits.shape[-1]))


class ResidentReference:
    """A second model in memory, asked at each step."""

    def __init__(self, model: nn.Module, layer: int):
        self.model, self.truncated = model.eval().requires_grad_(False), TruncatedLM(model, layer)

    @torch.no_grad()
    def log_probs(self, pool: str, batch: Any) -> Tensor:
        """(B,) log-probabilities of the answers."""
        return sequence_log_probs(self.model(batch.tokens, use_cache=False).logits, batch.labels)

    @torch.no_grad()
    def distributions(self, pool: str, batch: Any) -> tuple[Tensor, Tensor]:
        """See `top_log_probs`."""
        return top_log_probs(self.model(batch.tokens, use_cache=False).logits, batch.labels)

    @torch.no_grad()
    def states(self, pool: str, batch: Any) -> Tensor:
        """(B, T, d) residual stream after the layer."""
        return self.truncated(batch.tokens)


class CachedReference:
    """Tables over the pools, filled once.

    Args:
        model: the untouched model, on the device to compute on.
        layer: whose states are kept.
        pools: has a pool of items for each name.
        needs: which tables.
        batch_size: items at a time.
    """

    def __init__(self, model: nn.Module, layer: int, pools: Any, needs: tuple[Need, ...], batch_size: int = 64):
        source = _evaluated(model, layer)
        self.tables: dict[Need, Any] = {}
        for pool, quantity in dict.fromkeys(needs):
            items = getattr(pools, pool)
            parts = []
            for rows in torch.arange(len(items)).split(batch_size):
                batch = type(items.batch(rows))(*(x.to(source.device) for x in items.batch(rows)))
                parts.append(getattr(source, quantity)(pool, batch))
            self.tables[pool, quantity] = getattr(self, f"_{quantity}_table")(parts, items)
        source.restore()

    def log_probs(self, pool: str, batch: Any) -> Tensor:
        """(B,) log-probabilities of the answers."""
        return self.tables[pool, "log_probs"][batch.item.cpu()].to(batch.tokens.device)

    def distributions(self, pool: str, batch: Any) -> tuple[Tensor, Tensor]:
        """See `top_log_probs`."""
        values, indices, start, count = self.tables[pool, "distributions"]
        rows = _ranges(start[batch.item.cpu()], count[batch.item.cpu()])
        return values[rows].to(batch.tokens.device), indices[rows].to(batch.tokens.device)

    def states(self, pool: str, batch: Any) -> Tensor:
        """(B, T, d) residual stream after the layer; zeros where a row is padding."""
        states, start, count = self.tables[pool, "states"]
        item = batch.item.cpu()
        B, T = batch.tokens.shape
        padded = states.new_zeros(B, T, states.shape[-1])
        padded[torch.arange(T) < count[item][:, None]] = states[_ranges(start[item], count[item])]
        return padded.to(batch.tokens.device)

    @staticmethod
    def _log_probs_table(parts: list[Tensor], items: Any) -> Tensor:
        return torch.cat(parts).cpu()

    @staticmethod
    def _distributions_table(parts: list[tuple[Tensor, Tensor]], items: Any) -> tuple[Tensor, ...]:
        values, indices = (torch.cat(halves).cpu() for halves in zip(*parts, strict=True))
        count = (items.labels[:, 1:] >= 0).sum(1)
        return values, indices, count.cumsum(0) - count, count

    @staticmethod
    def _states_table(parts: list[Tensor], items: Any) -> tuple[Tensor, ...]:
        count, at, rows = items.lengths, 0, []
        for part in parts:
            real = torch.arange(part.shape[1]) < count[at : at + len(part), None]
            rows.append(part.cpu()[real])
            at += len(part)
        return torch.cat(rows), count.cumsum(0) - count, count


def _ranges(start: Tensor, count: Tensor) -> Tensor:
    """The numbers start[0], ..., start[0] + count[0] - 1, start[1], ... in one tensor."""
    offset = start - (count.cumsum(0) - count)
    return torch.arange(int(count.sum())) + offset.repeat_interleave(count)


class _evaluated(ResidentReference):
    """The model itself as its own reference: nothing of it is changed."""

    def __init__(self, model: nn.Module, layer: int):
        self.model, self.truncated = model, TruncatedLM(model, layer)
        self.device = next(model.parameters()).device
        self.training = model.training
        model.eval()

    def restore(self) -> None:
        self.model.train(self.training)
