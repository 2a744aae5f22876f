"""What a trained log detector says of single texts: a score, how rare it is, and which words it comes from."""

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from datamodules.logs.batches import LineBatch, counted, padded
from datamodules.logs.tokenizer import framed
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.metrics.thresholds import quantile_threshold

TOKENS = 8192
"""Tokens of a batch, padding included."""

PADDING = 0.05
"""Share of padding from which on a batch takes no longer lines, unless it is small."""


class Word(NamedTuple):
    """A word of a text, and how suspicious it is: the highest score of its tokens."""

    start: int
    end: int
    score: float


class Judgement(NamedTuple):
    """What a detector says of a text.

    Attributes:
        score: higher for what is more abnormal.
        percentile: share of the held-out training lines that score lower, in per cent; None if the method knows none.
        anomalous: the score is above the .999 quantile of the held-out training lines; None as above.
        words: the words of the text that contribute to the score, in their order; none where the method does not tell.
    """

    score: float
    percentile: float | None
    anomalous: bool | None
    words: list[Word]

    def suspicious(self, most: int = 3) -> list[Word]:
        """The words of the highest scores, the highest first."""
        return heapq.nlargest(most, self.words, key=lambda word: word.score)


class LineJudge:
    """A trained detector with the tokenizer it was trained with.

    Args:
        method: scores lines; where it has `token_scores`, the mean of these is the line's score.
        tokenizer: of its training data.
        trainer: says on which device and in which precision.

    Raises:
        UserError: the method needs the lines before, or there is no tokenizer or one of another vocabulary.
    """

    def __init__(self, method: LightningModule, tokenizer: Tokenizer | None, trainer: Trainer):
        if hasattr(method, "sequence_scores"):
            raise UserError(
                f"checkpoint: {type(method).__name__} judges a line by the lines before it and scores no single lines; "
                "the other methods of the domain do, such as log_electra"
            )
        if tokenizer is None:
            raise UserError("checkpoint: holds no tokenizer; use a checkpoint of python -m lit_unlearn.fit")
        tables = (table for name, table in method.named_modules() if name.endswith("word_embeddings"))
        vocab_size = tokenizer.get_vocab_size()
        for size in {table.num_embeddings for table in tables} - {vocab_size}:
            raise UserError(
                f"checkpoint: its tokenizer, of {vocab_size} tokens, does not belong to its network, of {size} tokens; "
                "use a checkpoint that has not been changed"
            )
        self.device, self.precision = trainer.strategy.root_device, trainer.precision_plugin
        self.method: Any = method.to(self.device).eval()
        self.tokenizer = tokenizer
        quantiles: Any = method.unlabeled_quantiles
        self.quantiles = quantiles.double().cpu().numpy()

    def __call__(self, texts: list[str]) -> list[Judgement]:
        """Judges distinct preprocessed texts, in batches of about the same length.

        Raises:
            RunFailed: a score is not finite.
        """
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        tokens = [framed(encoding.ids) for encoding in encodings]
        scores = np.empty(len(texts))
        words: list[list[Word]] = [[]] * len(texts)
        for part in batches(np.fromiter(map(len, tokens), np.int64, len(tokens))):
            scores[part], token_scores = self.score(padded([tokens[i] for i in part]), [texts[i] for i in part])
            for i, of_line in zip(part, token_scores, strict=True):
                words[i] = words_of(encodings[i], of_line[1:])
        broken = np.flatnonzero(~np.isfinite(scores))
        if len(broken):
            raise RunFailed(
                f"the score of {texts[broken[0]]!r} is {scores[broken[0]]}; training diverged, lower "
                "method.learning_rate and start again with overwrite=true"
            )
        return [
            Judgement(score, percentile, None if percentile is None else percentile >= 99.9, of_line)
            for score, percentile, of_line in zip(scores.tolist(), self.percentiles(scores), words, strict=True)
        ]

    @torch.inference_mode()
    def score(self, tokens: Tensor, texts: list[str]) -> tuple[NDArray, list[list[float]]]:
        """(B,) scores of a batch of (B, T) tokens, and the scores of each line's tokens, none where there are none."""
        tokens = tokens.to(self.device)
        with without_onednn(), self.precision.forward_context():
            if not hasattr(self.method, "token_scores"):
                known = torch.zeros(len(texts), dtype=torch.bool, device=self.device)
                count = torch.ones(len(texts), dtype=torch.int64, device=self.device)
                return self.method.line_scores(LineBatch(tokens, known, count, texts)).cpu().numpy(), [[]] * len(texts)
            of_tokens = self.method.token_scores(tokens)
            of_lines = of_tokens.sum(1) / counted(tokens).sum(1).clamp(min=1)
        return of_lines.cpu().numpy(), of_tokens.tolist()

    def percentiles(self, scores: NDArray) -> list[float | None]:
        """For each score the share of the held-out lines that are below it, in steps of .1 per cent."""
        if not np.isfinite(self.quantiles).all():
            return [None] * len(scores)
        below = np.searchsorted(quantile_threshold(self.quantiles), scores)
        return (np.maximum(below - 1, 0) / 10).tolist()


@contextmanager
def without_onednn() -> Iterator[None]:
    """CPU arithmetic without oneDNN, which keeps something for each new shape of a batch (150 MB after a few hundred)
    and is no faster here. torch's own context manager for it warns on machines without an Intel GPU."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def batches(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Indices of lines, shortest first, in batches of at most `TOKENS` tokens and little padding.

    Args:
        lengths: (N,) tokens of each line.
    """
    order = np.argsort(lengths, kind="stable")
    start = held = 0
    for end, length in enumerate(lengths[order].tolist()):
        filled = (end + 1 - start) * length
        wasteful = held > TOKENS // 8 and filled - held - length > PADDING * filled
        if end > start and (filled > TOKENS or wasteful):
            yield order[start:end]
            start, held = end, 0
        held += length
    if len(order):
        yield order[start:]


def words_of(encoding: Encoding, scores: list[float]) -> list[Word]:
    """The words of an encoded text whose tokens' highest score is positive; `scores` may go on after the last token."""
    words: dict[int | None, Word] = {}
    for number, (start, end), score in zip(encoding.word_ids, encoding.offsets, scores, strict=False):
        if score > 0:
            word = words.get(number)
            words[number] = Word(start, end, score) if word is None else Word(word[0], end, max(word[2], score))
    return list(words.values())
