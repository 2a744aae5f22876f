"""The LightningDataModule all anomaly data sets share: in memory, drawn by the PU protocol, batched by indexing."""

import logging
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.anomaly.batches import EvaluationBatch, PUBatch
from datamodules.anomaly.protocol import Budget, Index, Pool, Split, split
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Items:
    """What a data set hands over: all items it has, and which may go where.

    Attributes:
        x: gives the items of some row numbers, (n,) int64 to (n, *input_shape) float32; only what a split takes is
            read or decoded.
        train, test: row numbers by kind; disjoint.
    """

    x: Callable[[Index], NDArray[np.float32]]
    train: Pool
    test: Pool


class PUBatches(Dataset):
    """Unlabeled items and labelled anomalies in memory; indexed with a pair of index tensors, gives a `PUBatch`."""

    def __init__(self, unlabeled: Tensor, labelled: Tensor):
        self.unlabeled, self.labelled = unlabeled, labelled

    def __getitem__(self, indices: tuple[Tensor, Tensor]) -> PUBatch:
        return PUBatch(self.unlabeled[indices[0]], self.labelled[indices[1]])


class EvaluationBatches(Dataset):
    """Items with their kinds, cut into consecutive batches once; item i is batch i."""

    def __init__(self, x: Tensor, kind: Tensor, batch_size: int):
        self.batches = list(map(EvaluationBatch, x.split(batch_size), kind.split(batch_size)))

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> EvaluationBatch:
        return self.batches[index]


class AnomalyDataModule(LightningDataModule):
    """Unlabeled training items with hidden anomalies, labelled anomalies, validation and test sets.

    Validation uses only what a user has: held-out unlabeled items against held-out labelled anomalies. Every process
    of a distributed run evaluates all items (they are few), so that no item is counted twice and no process waits.

    Args:
        num_normal: normal items among the unlabeled ones; None takes as many as there are, or as many as the seen
            anomalies suffice for.
        contamination: share of anomalies among the unlabeled items, in [0, 1).
        num_labelled: labelled anomalies; None takes as many as there are unlabeled ones.
        validation: held-out items as a share of the training items, drawn on top of them; 0 leaves validation out.
        num_test: test items: half normal, a quarter seen anomalies, a quarter unseen ones.
        batch_size: unlabeled items in an optimiser step, over all processes.
        labelled_batch_size: labelled anomalies in an optimiser step, over all processes.
        num_workers: loader processes.
        seed: draws the split and the order of the batches.

    `offers` names what a method must know of the data to be built: constructor arguments of these names are filled in.

    After `setup`: `input_shape`, `parts` (a `Split`) and the tensors `unlabeled`, `labelled`, `validation`, `test`.
    """

    offers: ClassVar[tuple[str, ...]] = ("input_shape",)

    def __init__(
        self,
        num_normal: Annotated[int, Field(ge=1)] | None = None,
        contamination: Annotated[float, Field(ge=0, lt=1)] = 250 / 4750,
        num_labelled: Annotated[int, Field(ge=0)] | None = None,
        validation: Annotated[float, Field(ge=0, le=1)] = 0.2,
        num_test: Annotated[int, Field(ge=4)] = 2000,
        batch_size: Annotated[int, Field(ge=1)] = 128,
        labelled_batch_size: Annotated[int, Field(ge=1)] = 64,
        num_workers: Annotated[int, Field(ge=0)] = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.budget = Budget(num_normal, contamination, num_labelled, validation, num_test)
        self.batch_size, self.labelled_batch_size = batch_size, labelled_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.parts: Split | None = None

    @abstractmethod
    def load(self) -> Items:
        """Reads the data set.

        Raises:
            UserError: the data are absent, damaged or not what their name says.
        """

    def setup(self, stage: str | None = None) -> None:
        if self.parts is not None:
            return
        items = self.load()
        parts = split(items.train, items.test, self.budget, self.seed)
        unlabeled = items.x(parts.unlabeled)
        self.input_shape = list(unlabeled.shape[1:])
        self.measure(unlabeled)
        self.unlabeled = torch.from_numpy(self.preprocess(unlabeled))
        self.labelled = torch.from_numpy(self.preprocess(items.x(parts.labelled)))
        held_out = np.concatenate([parts.validation_unlabeled, parts.validation_labelled])
        known = np.repeat([0, 1], [len(parts.validation_unlabeled), len(parts.validation_labelled)])
        self.validation = EvaluationBatch(torch.from_numpy(self.preprocess(items.x(held_out))), torch.from_numpy(known))
        test = torch.from_numpy(self.preprocess(items.x(parts.test)))
        self.test = EvaluationBatch(test, torch.from_numpy(parts.test_kind))
        self.parts = parts
        log.info(
            f"data: {len(self.unlabeled)} unlabeled items of which {parts.contamination:.2%} are anomalies, "
            f"{len(self.labelled)} labelled anomalies, {len(held_out)} for validation, {len(parts.test)} for the test"
        )

    def measure(self, unlabeled: NDArray[np.float32]) -> None:
        """Takes what `preprocess` needs from the unlabeled training items, and from these alone; pictures need nothing.

        What is taken belongs into `state_dict`, so that a checkpoint's detector scores new items on the same scale.
        """

    def preprocess(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, *input_shape) items as they come to what the networks see; pictures are left as they are."""
        return x

    def state_dict(self) -> dict[str, Any]:
        """What scoring new items needs to know of the training data; part of every checkpoint."""
        return {"input_shape": self.input_shape}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.input_shape = state_dict["input_shape"]

    def train_dataloader(self) -> ResumableLoader:
        sizes = [len(self.unlabeled), len(self.labelled)]
        sampler = EpochBatchSampler(sizes, [self.batch_size, self.labelled_batch_size], self.seed)
        return ResumableLoader(PUBatches(self.unlabeled, self.labelled), sampler, self.num_workers)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Moves a batch of this domain; Lightning's own walk through any structure costs more than a small step."""
        return type(batch)(*(part.to(device, non_blocking=True) for part in batch))

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        return self.evaluation_loader(self.validation) if len(self.validation.x) > 0 else []

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_loader(self.test)

    def predict_dataloader(self) -> DataLoader:
        return self.evaluation_loader(self.test)

    def evaluation_loader(self, items: EvaluationBatch, batch_size: int = 1000) -> DataLoader:
        """All items in their order, on every process."""
        return DataLoader(EvaluationBatches(items.x, items.kind, batch_size), batch_size=None, shuffle=False)
