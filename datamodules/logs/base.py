"""The LightningDataModule all logs share: read as a stream, kept as distinct lines, split, tokenised, in batches."""

import hashlib
import logging
from abc import abstractmethod
from array import array
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.logs.batches import LineBatch
from datamodules.logs.formats import NORMAL, LogFormat
from datamodules.logs.preprocessing import PLACEHOLDERS, Preprocessor
from datamodules.logs.reading import LogReader
from datamodules.logs.sampling import LineSampler, cut_by_length
from datamodules.logs.splits import Split, split_lines
from datamodules.logs.tokenizer import EncodedLines, encode, train_wordpiece
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import ResumableLoader

log = logging.getLogger(__name__)

RECENT = 100_000
"""Raw messages whose preprocessed form is remembered while a log is read."""


class TrainingLines(Dataset):
    """Indexed with the distinct lines and the labelled lines of a batch, gives a `LineBatch`."""

    def __init__(self, encoded: EncodedLines, texts: list[str], distinct: NDArray, labelled: NDArray):
        self.encoded, self.texts, self.distinct, self.labelled = encoded, texts, distinct, labelled

    def __getitem__(self, indices: tuple[Tensor, Tensor]) -> LineBatch:
        unlabeled, labelled = indices
        lines = np.concatenate([self.distinct[unlabeled.numpy()], self.labelled[labelled.numpy()]])
        known = torch.zeros(len(lines), dtype=torch.bool)
        known[len(unlabeled) :] = True
        count = torch.ones(len(lines), dtype=torch.int64)
        return LineBatch(self.encoded.batch(lines), known, count, [self.texts[i] for i in lines])


class DistinctLines(Dataset):
    """Distinct lines in batches of about the same length; item i is batch i, `order` says which lines came when."""

    def __init__(self, encoded: EncodedLines, texts: list[str], lines: NDArray, count: NDArray, batch_size: int):
        self.encoded, self.texts, self.lines, self.count = encoded, texts, lines, count
        self.order = np.argsort(encoded.lengths[lines], kind="stable")
        self.parts = np.split(self.order, cut_by_length(encoded.lengths[lines][self.order], batch_size))

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> LineBatch:
        part = self.parts[index]
        lines = self.lines[part]
        known = torch.zeros(len(lines), dtype=torch.bool)
        count = torch.from_numpy(self.count[part])
        return LineBatch(self.encoded.batch(lines), known, count, [self.texts[i] for i in lines])


class LogDataModule(LightningDataModule):
    """Log lines for training, for validation (held out of the training lines) and for the test.

    A log is read once, as a stream. Of each line its preprocessed text, its alert tag and its time are kept; texts
    that occur again are kept once, so memory grows with the number of distinct texts and 24 bytes a line.

    The training part is the first `train_share` of the lines, or as large a random part. Of it the normal lines are
    trained on; with `contamination`, alerts are mixed in unlabeled. `num_labelled` further alerts are known as such.

    Args:
        split: `chronological` tests on what came later, `random` on lines drawn from everywhere.
        train_share: share of the lines that training may use.
        validation: share of those held out to set thresholds with.
        contamination: share of alerts among the unlabeled training lines; None trains on normal lines only.
        num_labelled: alerts of the training part that are labelled, for the PU methods.
        unlabeled: the log has no labels, or they are not to be looked at: all lines of the training part are trained
            on, and nothing can be measured on the test part.
        lower, placeholders, stop_words: see `datamodules.logs.preprocessing.Preprocessor`.
        vocab_size: at most so many tokens.
        max_length: tokens of a line, [CLS] and [SEP] included; what is longer is cut.
        power: lines are drawn for training in proportion to their count to this power, see `LineSampler`.
        lines_per_epoch: lines drawn in an epoch; None takes as many as there are to train on.
        batch_size: unlabeled lines in an optimiser step, over all processes.
        labelled_batch_size: labelled lines in an optimiser step, over all processes.
        num_workers: loader processes.
        seed: draws the split and the order of the batches.

    After `setup`, of N lines with D distinct texts:
        texts: D distinct preprocessed lines.
        line: (N,) int64, which text each line of the log has.
        tags: alert types, the first is `-`, normal.
        tag: (N,) int64, which of them each line has.
        time: (N,) int64, seconds since 1970; the line's number where the format has no time.
        train, validation, test, labelled: line numbers, rising.
        tokenizer: `tokenizers.Tokenizer`, learned from the lines of `train`.
    """

    offers: ClassVar[tuple[str, ...]] = ("vocab_size", "max_length", "num_labelled")
    format: LogFormat
    reader: LogReader | None = None  # of the file, where there is one

    def __init__(
        self,
        split: Literal["chronological", "random"] = "chronological",
        train_share: Annotated[float, Field(gt=0, lt=1)] = 0.8,
        validation: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        contamination: Annotated[float, Field(ge=0, lt=1)] | None = None,
        num_labelled: Annotated[int, Field(ge=0)] = 0,
        unlabeled: bool = False,
        lower: bool = True,
        placeholders: list[str] | None = None,
        stop_words: list[str] | None = None,
        vocab_size: Annotated[int, Field(ge=50)] = 8000,
        max_length: Annotated[int, Field(ge=3, le=512)] = 128,
        power: Annotated[float, Field(ge=0, le=1)] = 0.25,
        lines_per_epoch: Annotated[int, Field(ge=1)] | None = None,
        batch_size: Annotated[int, Field(ge=1)] = 256,
        labelled_batch_size: Annotated[int, Field(ge=1)] = 32,
        num_workers: Annotated[int, Field(ge=0)] = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.split, self.train_share, self.validation_share = split, train_share, validation
        self.contamination, self.num_labelled, self.unlabeled = contamination, num_labelled, unlabeled
        self.preprocess = Preprocessor(lower, placeholders, stop_words)
        self.most_tokens, self.max_length = vocab_size, max_length
        self.power, self.lines_per_epoch = power, lines_per_epoch
        self.batch_size, self.labelled_batch_size = batch_size, labelled_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.tokenizer: Tokenizer | None = None
        self.parts: Split | None = None

    @abstractmethod
    def read(self) -> Iterable[str]:
        """The lines of the log, one after another.

        Raises:
            UserError: the log is absent or cannot be read.
        """

    def setup(self, stage: str | None = None) -> None:
        if self.parts is not None:
            return
        self._take(self.read())
        parts = split_lines(
            self.tag,
            self.split,
            self.train_share,
            self.validation_share,
            self.contamination,
            self.num_labelled,
            self.seed,
        )
        self.train, self.validation, self.labelled, self.test = parts
        distinct = np.unique(self.line[self.train])
        words = [self.texts[i] for i in distinct]
        learned = train_wordpiece(words, self.most_tokens, PLACEHOLDERS, self.max_length)
        self._keep(learned)
        self.encoded = EncodedLines(encode(learned, self.texts))
        self.parts = parts
        log.info(
            f"data: {len(self.line)} lines, {len(self.texts)} distinct after preprocessing, "
            f"{int((self.tag > 0).sum())} alerts of {len(self.tags) - 1} types; {len(self.train)} to train on, "
            f"{len(self.validation)} held out, {len(self.labelled)} labelled, {len(self.test)} for the test"
        )

    def _take(self, lines: Iterable[str]) -> None:
        """Reads the log into distinct texts and a few numbers a line."""
        index: dict[str, int] = {}
        tags: dict[str, int] = {NORMAL: 0}
        recent: dict[str, int] = {}
        line, tag, time = array("q"), array("q"), array("q")
        self.num_dropped = self.num_read = 0
        for raw in lines:
            self.num_read += 1
            record = self.format.parse(raw)
            if record is None:
                self.num_dropped += 1
                continue
            if record.tag is None and not self.unlabeled:
                raise UserError(
                    f"data: line {self.num_read} of the log has no label, and training is to be on normal lines; name "
                    "the column or group of the label, or give data.unlabeled=true to train on all lines and measure "
                    "nothing"
                )
            text = recent.get(record.message)
            if text is None:
                if len(recent) >= RECENT:
                    recent.clear()
                preprocessed = self.preprocess(record.message)
                text = recent[record.message] = index.setdefault(preprocessed, len(index))
            line.append(text)
            tag.append(0 if self.unlabeled else tags.setdefault(str(record.tag), len(tags)))
            time.append(len(line) - 1 if record.time is None else record.time)
        if len(line) < 20:
            raise UserError(
                f"data: {len(line)} of {self.num_read} lines fit the format, at least 20 are needed; "
                "check data.layout against the first lines of the log"
            )
        self.texts, self.tags = list(index), list(tags)
        self.line, self.tag, self.time = (np.frombuffer(part, np.int64) for part in (line, tag, time))

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary."""
        assert self.tokenizer is not None
        return self.tokenizer.get_vocab_size()

    def hashes(self) -> dict[str, str]:
        """The first 16 digits of SHA-256 of the line numbers of each part."""
        parts = {"train": self.train, "validation": self.validation, "labelled": self.labelled, "test": self.test}
        return {
            name: hashlib.sha256(part.astype("<i8").tobytes()).hexdigest()[:16]
            for name, part in parts.items()
            if len(part)
        }

    def state_dict(self) -> dict[str, Any]:
        """What scoring new lines needs; part of every checkpoint."""
        assert self.tokenizer is not None
        return {"tokenizer": self.tokenizer.to_str()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._keep(Tokenizer.from_str(state_dict["tokenizer"]))

    def _keep(self, tokenizer: Tokenizer) -> None:
        """Takes a tokenizer, learned from the log or brought by a checkpoint; where there are both they must agree."""
        if self.tokenizer is not None and tokenizer.to_str() != self.tokenizer.to_str():
            raise UserError(
                "the tokenizer of the checkpoint does not belong to this log: the log or its preprocessing has "
                "changed; give the same log, or start anew with overwrite=true"
            )
        self.tokenizer = tokenizer

    def train_dataloader(self) -> ResumableLoader:
        distinct, counts = np.unique(self.line[self.train], return_counts=True)
        labelled = self.line[self.labelled]
        sampler = LineSampler(
            counts,
            self.encoded.lengths[distinct],
            self.power,
            self.lines_per_epoch or len(self.train),
            self.batch_size,
            len(labelled),
            self.labelled_batch_size,
            self.seed,
        )
        lines = TrainingLines(self.encoded, self.texts, distinct, labelled)
        return ResumableLoader(lines, sampler, self.num_workers)

    def transfer_batch_to_device(self, batch: LineBatch, device: torch.device, dataloader_idx: int) -> LineBatch:
        """Moves the tensors of a batch."""
        tokens, labelled, counts = (part.to(device, non_blocking=True) for part in batch[:3])
        return LineBatch(tokens, labelled, counts, batch.text)

    def val_dataloader(self) -> DataLoader:
        distinct, counts = np.unique(self.line[self.validation], return_counts=True)
        return self.loader(distinct, counts)

    def predict_dataloader(self) -> DataLoader:
        return self.loader(np.unique(self.line[self.test]))

    def loader(self, distinct: NDArray, counts: NDArray | None = None, batch_size: int = 512) -> DataLoader:
        """The texts with these indices, sorted by length, on every process.

        The loader's `dataset.order` says which of them comes when: `scores[order] = predictions` puts scores in place.
        """
        counts = np.ones(len(distinct), np.int64) if counts is None else counts
        lines = DistinctLines(self.encoded, self.texts, distinct, counts, batch_size)
        return DataLoader(lines, batch_size=None, shuffle=False)
