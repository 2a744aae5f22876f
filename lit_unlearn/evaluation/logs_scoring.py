"""Scoring a log of any length with a trained detector: one pass, constant memory, each distinct text scored once."""

import heapq
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from torch import Tensor
from tqdm import tqdm

from datamodules.logs.batches import LineBatch, counted, padded
from datamodules.logs.formats import LogFormat
from datamodules.logs.reading import LogReader
from datamodules.logs.tokenizer import framed
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.metrics.thresholds import quantile_threshold

CHUNK = 2_000_000
"""Bytes of the log that are looked at together; so many that lines of about the same length are found for a batch."""

TOKENS = 8192
"""Tokens of a batch, padding included."""

PADDING = 0.05
"""Share of padding from which on a batch takes no longer lines, unless it is small."""

REMEMBERED_TEXTS, REMEMBERED_MESSAGES = 50_000, 50_000
"""Texts whose score, and messages whose preprocessed text, are remembered; these bound the memory."""

TRIED = 1000
"""Lines of which one at least must fit the format."""


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
        with self.precision.forward_context():
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
    words: dict[int, Word] = {}
    for number, (start, end), score in zip(encoding.word_ids, encoding.offsets, scores, strict=False):
        if score > 0:
            word = words.get(number)
            words[number] = Word(start, end, score) if word is None else Word(word[0], end, max(word[2], score))
    return list(words.values())


class Known:
    """A distinct text of the log: its score, what is written of it, how often it occurred and in which line first."""

    __slots__ = ("anomalous", "count", "first", "form", "score")

    def __init__(self, judgement: Judgement, form: Any, first: int):
        self.score, self.anomalous, self.form, self.first = judgement.score, bool(judgement.anomalous), form, first
        self.count = 0


class Output(Protocol):
    """Where scored lines go.

    `top`: how many of the most abnormal texts are to be kept to the end.
    """

    top: int

    def form(self, text: str, judgement: Judgement) -> Any:
        """What is remembered of a text, to write its lines with."""

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        """Takes lines from number `first` on: messages, and their texts; None for lines not in the format."""

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        """Takes the most abnormal texts, most abnormal first."""


class Cutter:
    """Cuts lines into messages and makes texts of them, as in training; remembers the texts of recent messages.

    Args:
        layout: cuts lines.
        preprocess: makes texts of messages.
    """

    def __init__(self, layout: LogFormat, preprocess: Callable[[str], str]):
        self.layout, self.preprocess = layout, preprocess
        self.recent: dict[str, str] = {}

    def __call__(self, lines: list[str]) -> tuple[list[str], list[str | None]]:
        """The message and the text of each line; of one that is not in the format, the line itself and None."""
        messages: list[str] = []
        texts: list[str | None] = []
        if len(self.recent) > REMEMBERED_MESSAGES:
            self.recent.clear()
        for line in lines:
            record = self.layout.parse(line)  # no list of records: so many tuples set off the garbage collector
            if record is None:
                messages.append(line)
                texts.append(None)
                continue
            text = self.recent.get(record.message)
            if text is None:
                text = self.recent[record.message] = self.preprocess(record.message)
            messages.append(record.message)
            texts.append(text)
        return messages, texts


def score_log(
    judge: LineJudge, log: LogReader, layout: LogFormat, preprocess: Callable[[str], str], output: Output, show: bool
) -> str:
    """Scores the lines of a log one after another.

    Args:
        judge: the detector.
        log: the lines.
        layout: cuts lines.
        preprocess: makes texts of messages, as in training.
        output: takes what was found.
        show: a progress bar, if standard error is a terminal.

    Returns:
        how many lines were scored, how many are anomalous, and what was wrong with others.

    Raises:
        UserError: the log cannot be read, or none of its first lines fits the format.
        RunFailed: a score is not finite.
    """
    known: dict[str, Known] = {}
    cut = Cutter(layout, preprocess)
    num_lines = num_scored = num_anomalous = 0
    bar = tqdm(unit=" lines", unit_scale=True, disable=None if show else True, file=sys.stderr)
    for lines in log.chunks(CHUNK):
        messages, texts = cut(lines)
        first: dict[str, int] = {}
        for number, text in enumerate(texts, num_lines + 1):
            if text is not None and text not in known:
                first.setdefault(text, number)
        new = list(first)
        for text, judgement in zip(new, judge(new), strict=True):
            known[text] = Known(judgement, output.form(text, judgement), first[text])
        found = [None if text is None else known[text] for text in texts]
        for one in found:
            if one is not None:
                one.count += 1
                num_scored += 1
                num_anomalous += one.anomalous
        output.write(num_lines + 1, messages, found)
        num_lines += len(lines)
        bar.update(len(lines))
        if num_scored == 0 and num_lines >= TRIED:
            break
        forget(known, output.top)
    bar.close()
    if num_scored == 0:
        raise UserError(
            f"input={log.name}: none of the first {num_lines} lines fits the format of the log that the method was "
            f"trained on ({type(layout).__name__.lower()}); give a log of that format, or layout=plain to take whole "
            "lines as messages"
        )
    summary = counts(log, num_scored, num_anomalous if np.isfinite(judge.quantiles).all() else None)
    output.end(most_abnormal(known, output.top), judge, summary)
    return summary


def most_abnormal(known: dict[str, Known], most: int) -> list[tuple[str, Known]]:
    """Texts of the highest scores, of equal ones those that came first."""
    return heapq.nsmallest(most, known.items(), key=lambda item: (-item[1].score, item[1].first))


def forget(known: dict[str, Known], top: int) -> None:
    """Drops the older half of too many texts, but not the most abnormal ones.

    A text among the most abnormal of the whole log has been among them since it first occurred, so its count is exact.
    """
    if len(known) > REMEMBERED_TEXTS:
        kept = {text for text, _ in most_abnormal(known, top)}
        for text in list(known)[: len(known) // 2]:
            if text not in kept:
                del known[text]


def counts(log: LogReader, num_scored: int, num_anomalous: int | None) -> str:
    """One line that says what became of the lines of a log."""
    verdicts = "no verdicts (the run had no validation)" if num_anomalous is None else f"{num_anomalous} anomalous"
    parts = [f"{num_scored} lines scored", verdicts]
    for number, what in (
        (log.num_lines - num_scored, "not in the format"),
        (log.num_replaced, "with invalid UTF-8 replaced"),
        (log.num_cut, "cut"),
    ):
        if number:
            parts.append(f"{number} {what}")
    return ", ".join(parts)
