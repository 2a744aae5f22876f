"""A language model that writes and judges, many prompts at a time.

What is sampled depends on the seed, the prompt and the number of the sample alone, not on what else is in the batch
(up to rounding: sums are taken in another order in a batch of another shape).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import derived_seed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ENDINGS = 4
"""Tokens at an answer's end in which its ending is looked for."""

JUDGED = 16
"""Answers judged at once: a number of its own, as the last digits of a likelihood depend on it."""


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: from the most probable tokens that hold `top_p`, after division by `temperature`."""

    temperature: float
    top_p: float
    seed: int


class Speaker(Protocol):
    """Who is asked."""

    def write(
        self, prompts: Sequence[str], samples: int, most_tokens: int, sampling: Sampling | None, end: str
    ) -> list[list[str]]:
        """What follows each prompt, `samples` times, up to `end`; without `sampling` by greedy decoding."""
        ...

    def log_probs(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """log P(answer | prompt), answer by answer."""
        ...


class LanguageModel:
    """A causal language model as a `Speaker`.

    Args:
        model: in eval mode.
        tokenizer: a fast one.
        batch_size: rows at once.
        templated: prompts hold the special tokens already.
    """

    def __init__(self, model: Any, tokenizer: "PreTrainedTokenizerFast", batch_size: int = 64, templated: bool = False):
        self.model, self.tokenizer, self.batch_size, self.templated = model, tokenizer, batch_size, templated
        self.device = next(model.parameters()).device
        ends = model.generation_config.eos_token_id
        self.ends = torch.tensor([] if ends is None else np.atleast_1d(ends).tolist(), dtype=torch.int64)
        self.room = getattr(model.config, "max_position_embeddings", None)

    @torch.inference_mode()
    def write(
        self, prompts: Sequence[str], samples: int, most_tokens: int, sampling: Sampling | None, end: str
    ) -> list[list[str]]:
        """See `Speaker.write`; a prompt is read once for all its samples in a batch.

        Raises:
            UserError: a prompt is longer than what the model can read.
        """
        ids = self._encoded(prompts)
        written: list[list[str]] = [[""] * samples for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda i: (len(ids[i]), i))
        rows = [(i, sample) for i in order for sample in range(samples)]
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            noise = None
            if sampling is not None:
                noise = np.stack([_uniform(sampling.seed, prompts[i], sample, most_tokens) for i, sample in batch])
            for (i, sample), text in zip(
                batch, self._written(ids, batch, most_tokens, sampling, noise, end), strict=True
            ):
                written[i][sample] = text
        return written

    def _written(
        self,
        ids: list[list[int]],
        batch: list[tuple[int, int]],
        most_tokens: int,
        sampling: Sampling | None,
        noise: Any,
        end: str,
    ) -> list[str]:
        numbers = list(dict.fromkeys(i for i, _ in batch))
        tokens, mask = self._padded([ids[i] for i in numbers])
        most = most_tokens if self.room is None else min(most_tokens, self.room - tokens.shape[1])
        past, logits = self._step(tokens, mask, None)
        owner = torch.tensor([numbers.index(i) for i, _ in batch], device=self.device)
        past.batch_select_indices(owner)
        mask, logits = mask[owner], logits[owner]
        answers: list[list[int]] = [[] for _ in batch]
        alive = list(range(len(batch)))  # rows of the batch that are still being written, as they stand in the cache
        for step in range(most):
            if sampling is None or noise is None:
                chosen = logits.argmax(-1)
            else:
                drawn = torch.as_tensor(noise[alive, step], device=self.device)
                chosen = nucleus_sample(logits, drawn, sampling.temperature, sampling.top_p)
            ended = torch.isin(chosen.cpu(), self.ends).tolist()
            for row, token, over in zip(alive, chosen.tolist(), ended, strict=True):
                if not over:
                    answers[row].append(token)
            tails = self.tokenizer.batch_decode([answers[row][-ENDINGS:] for row in alive])
            going = [k for k, tail in enumerate(tails) if not ended[k] and end not in tail]
            if not going or step == most - 1:
                break
            if len(going) < len(alive):
                kept = torch.tensor(going, device=self.device)
                past.batch_select_indices(kept)
                mask, chosen, alive = mask[kept], chosen[kept], [alive[k] for k in going]
            mask = torch.cat([mask, mask.new_ones(len(alive), 1)], 1)
            past, logits = self._step(chosen[:, None], mask, past)
        texts = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [text.split(end)[0] if text.strip() else "" for text in texts]

    def _step(self, tokens: Tensor, mask: Tensor, past: Any) -> tuple[Any, Tensor]:
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        out = self.model(
            tokens, attention_mask=mask, position_ids=positions, past_key_values=past, use_cache=True, logits_to_keep=1
        )
        return out.past_key_values, out.logits[:, -1].float()

    @torch.inference_mode()
    def log_probs(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """See `Speaker.log_probs`; prompt and answer are tokenised together.

        Raises:
            UserError: a prompt is longer than what the model can read.
        """
        whole = self._encoded([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
        alone = self._encoded(prompts)
        lengths = [len(both) - len(prompt) for both, prompt in zip(whole, alone, strict=True)]
        found = [0.0] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: (len(whole[i]), i))
        for start in range(0, len(order), JUDGED):
            rows = order[start : start + JUDGED]
            tokens, mask = self._padded([whole[i] for i in rows])
            longest = max(lengths[i] for i in rows)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            logits = self.model(
                tokens, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=longest + 1
            ).logits[:, :-1]
            each = torch.log_softmax(logits.double(), -1).gather(-1, tokens[:, -longest:, None]).squeeze(-1)
            for i, values in zip(rows, each.cpu(), strict=True):
                found[i] = values[longest - lengths[i] :].sum().item()
        return found

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        ids = self.tokenizer(list(texts), add_special_tokens=not self.templated)["input_ids"] if texts else []
        closed = set(self.ends.tolist())
        ids = [row[:-1] if row and row[-1] in closed else row for row in ids]  # some tokenizers close every text
        longest = max(map(len, ids), default=0)
        if self.room is not None and longest >= self.room:
            raise UserError(f"a prompt has {longest} tokens and the model reads {self.room}; give a shorter concept")
        return ids

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """(B, T) tokens and mask, padded on the left: the last column is every row's last token."""
        width = max(map(len, rows))
        tokens = torch.zeros(len(rows), width, dtype=torch.int64)
        mask = torch.zeros(len(rows), width, dtype=torch.int64)
        for k, row in enumerate(rows):
            tokens[k, width - len(row) :] = torch.tensor(row)
            mask[k, width - len(row) :] = 1
        return tokens.to(self.device), mask.to(self.device)


def _uniform(seed: int, prompt: str, sample: int, count: int) -> Any:
    """(count,) of a sample's own."""
    return np.random.default_rng(derived_seed("written", seed, sample, prompt)).random(count)


def nucleus_sample(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """(B,) tokens: the nucleus, in order of probability, cut at a uniform number (Holtzman et al., 2020, 1904.09751).

    Args:
        logits: (B, V).
        uniform: (B,) in [0, 1).
        temperature, top_p: see `Sampling`; the nucleus holds at least one token.
    """
    probabilities = torch.softmax(logits.double() / temperature, -1)
    ranked, token = probabilities.sort(dim=-1, descending=True, stable=True)
    reached = ranked.cumsum(-1)
    within = reached - ranked < top_p
    total = (ranked * within).sum(-1, keepdim=True)
    place = (reached <= uniform[:, None] * total).sum(-1, keepdim=True).clamp(max=ranked.shape[-1] - 1)
    return token.gather(-1, place.minimum(within.sum(-1, keepdim=True) - 1)).squeeze(-1)


def shared_out(total: int, parts: int) -> Iterator[int]:
    """`total` in `parts` numbers that differ by at most one, the larger first."""
    return (total // parts + (i < total % parts) for i in range(parts))
