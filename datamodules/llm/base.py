"""What data modules of the domain `llm` share: what is trained on, and what a language model is judged with."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.llm.batches import ProbeBatch, TextBatch, UnlearningBatch
from datamodules.llm.items import Choices, EncodedItems, Item, encode_items
from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


CURVE_ITEMS = 128
"""Items of a split that are asked at each validation during training."""


class LanguageDataModule(LightningDataModule):
    """Batches to train on, and what a language model is judged with.

    A subclass fills the attributes in `setup`. Its batches are of `batch_type`; a method trains on one such type.

    Attributes:
        tokenizer: of the language model.
        probes: items to be answered, by split: `forget`, `retain`, `neighbour` and their other forms, `unknown`; a
            split that a data set does not have is absent.
        entities: items to read a model's states at, by group: `target`, `known`, `neighbour`, `unknown`, and
            `probe_known`, `probe_unknown` to fit probes with; a group that a data set does not have is absent.
        general: text that no method trains on, for perplexity.
        choices: by split, items whose right answer is ranked among others; for data whose answers a model hardly ever
            gives in full. Those of `unknown` are about names that nobody has, with the answers of the targets: how far
            forgetting should go. Empty for most data sets.
    """

    batch_type: ClassVar[type]
    offers: ClassVar[tuple[str, ...]] = ()
    tokenizer: "PreTrainedTokenizerFast"
    probes: dict[str, EncodedItems]
    entities: dict[str, EncodedItems]
    general: TextBatch
    choices: Mapping[str, Choices] = MappingProxyType({})

    def __init__(
        self,
        batch_size: Annotated[int, Field(ge=1)] = 16,
        max_length: Annotated[int, Field(ge=8)] = 128,
        num_workers: Annotated[int, Field(ge=0)] = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.batch_size, self.max_length, self.num_workers, self.seed = batch_size, max_length, num_workers, seed

    def encoded(self, items: list[Item]) -> EncodedItems:
        """Items as tokens of `tokenizer`."""
        return encode_items(items, self.tokenizer, self.max_length)

    def check_tokenizer(self, path: str) -> None:
        """That `tokenizer` is that of a language model, see `load_tokenizer`.

        Raises:
            UserError: it is another, or the model has none.
        """
        if load_tokenizer(path).get_vocab() != self.tokenizer.get_vocab():
            raise UserError(
                f"model.path={path}: its tokenizer differs from that of the data; give data with the settings that the "
                "model was trained with, or a model that was trained on these"
            )


class TextDataModule(LanguageDataModule):
    """Packed documents: `train` is filled in `setup`."""

    batch_type = TextBatch
    offers = ("vocab_size",)
    train: Dataset

    @property
    def vocab_size(self) -> int:
        """Entries of the tokenizer."""
        return len(self.tokenizer)

    def train_dataloader(self) -> ResumableLoader:
        sampler = EpochBatchSampler([len(self.train)], [self.batch_size], self.seed)  # type: ignore[arg-type]
        return ResumableLoader(self.train, sampler, self.num_workers)


class UnlearningPools(Dataset):
    """Indexed with rows to forget and rows to retain, gives an `UnlearningBatch`."""

    def __init__(
        self,
        forget: EncodedItems,
        refusal: EncodedItems,
        unknown: EncodedItems,
        retain: EncodedItems,
        guess: EncodedItems,
    ):
        self.forget, self.refusal, self.unknown, self.retain = forget, refusal, unknown, retain
        self.guess = guess  # the prompts of `unknown` with the answers of `forget`: what a model without knowledge says

    def __getitem__(self, indices: tuple[Tensor, Tensor]) -> UnlearningBatch:
        rows, kept = indices
        forget, refusal, unknown = (pool.batch(rows) for pool in (self.forget, self.refusal, self.unknown))
        return UnlearningBatch(forget, refusal, unknown, self.retain.batch(kept))


class Probes(Dataset):
    """Item i is a `ProbeBatch`, a sample of one split or group."""

    def __init__(self, probes: dict[str, EncodedItems], entities: dict[str, EncodedItems], size: int):
        self.parts = []
        for is_entities, named in ((False, probes), (True, entities)):
            for name, items in named.items():
                order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
                self.parts.append(ProbeBatch(name, is_entities, items.batch(order[:size])))

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> ProbeBatch:
        return self.parts[index]


class UnlearningDataModule(LanguageDataModule):
    """What to forget and what to retain: `pools` is filled in `setup`.

    Args:
        retain_batch_size: retained items in a step, over all processes.
    """

    batch_type = UnlearningBatch
    pools: UnlearningPools

    def __init__(self, retain_batch_size: Annotated[int, Field(ge=1)] = 16, **shared):
        super().__init__(**shared)
        self.retain_batch_size = retain_batch_size

    def fill(self, forget: list[Item], refusal: list[Item], unknown: list[Item], retain: list[Item]) -> None:
        """Encodes the pools.

        Raises:
            UserError: nothing to retain, or something to forget is also to be retained.
        """
        if not retain:
            raise UserError("data: nothing is to be retained; every method is judged by what stays. Forget fewer")
        both = {(item.prompt, item.answer) for item in forget} & {(item.prompt, item.answer) for item in retain}
        if both:
            prompt, answer = min(both)
            raise UserError(
                f"data: {len(both)} items are to be forgotten and retained, such as {prompt!r} {answer!r}; "
                "leave them out of one of the two"
            )
        guess = [replace(nobody, answer=item.answer) for nobody, item in zip(unknown, forget, strict=True)]
        self.pools = UnlearningPools(*(self.encoded(items) for items in (forget, refusal, unknown, retain, guess)))

    def train_dataloader(self) -> ResumableLoader:
        sizes = [len(self.pools.forget), len(self.pools.retain)]
        sampler = EpochBatchSampler(sizes, [self.batch_size, self.retain_batch_size], self.seed)
        return ResumableLoader(self.pools, sampler, self.num_workers)

    def val_dataloader(self) -> DataLoader:
        """All processes see all of it: it is small."""
        entities = {group: items for group, items in self.entities.items() if group in ("target", "unknown")}
        return DataLoader(Probes(self.probes, entities, CURVE_ITEMS), batch_size=None)
