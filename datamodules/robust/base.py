"""The LightningDataModule that the image data sets of the robust domain share: in memory, in [0, 1], with labels."""

import logging
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.images import Images, Pictures
from datamodules.robust.batches import LabelledBatch
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader, derived_seed

log = logging.getLogger(__name__)

Augmentation = Literal["none", "crop_flip"]


class LabelledPictures(Dataset):
    """Pictures as bytes in memory; indexed with a tuple of one index tensor, gives a `LabelledBatch`.

    Args:
        pictures: (N, C, H, W) uint8.
        labels: (N,) int64.
        white: the largest grey level.
    """

    def __init__(self, pictures: Tensor, labels: Tensor, white: int):
        self.pictures, self.labels, self.white = pictures, labels, white

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: tuple[Tensor]) -> LabelledBatch:
        return LabelledBatch(self.pictures[indices[0]].float() / self.white, self.labels[indices[0]])

    def all(self) -> LabelledBatch:
        """Every picture, in order."""
        return self[(torch.arange(len(self)),)]


class RobustDataModule(LightningDataModule):
    """Labelled pictures in [0, 1] for training, a part of them held out for validation, and test pictures.

    The best checkpoint is chosen on the held-out part: to choose it on the test pictures, as the literature often does,
    makes the best one look better than it is. Every process of a distributed run validates on all held-out pictures.

    Args:
        validation: training pictures held out, drawn by the seed; 0 leaves validation out.
        num_train: training pictures used of what is left; None takes all.
        num_test: test pictures, the first ones; None takes all.
        num_autoattack: of these the first that AutoAttack is run on, which takes far longer; None takes all.
        augment: `crop_flip` shifts training pictures by up to 4 pixels and mirrors half of them, in the training step.
        batch_size: pictures in an optimiser step, over all processes.
        num_workers: loader processes.
        seed: draws the split and the order of the batches.

    `offers` names what a method must know of the data to be built: constructor arguments of these names are filled in.

    After `setup`: `input_shape`, `num_classes`, `class_names`, `mean` and `std` of each channel over the training
    pictures, and the data sets `train`, `validation`, `test`.
    """

    offers: ClassVar[tuple[str, ...]] = ("input_shape", "num_classes", "mean", "std", "augment")

    def __init__(
        self,
        validation: Annotated[int, Field(ge=0)] = 1000,
        num_train: Annotated[int, Field(ge=1)] | None = None,
        num_test: Annotated[int, Field(ge=1)] | None = None,
        num_autoattack: Annotated[int, Field(ge=1)] | None = None,
        augment: Augmentation = "none",
        batch_size: Annotated[int, Field(ge=1)] = 128,
        num_workers: Annotated[int, Field(ge=0)] = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.num_validation, self.num_train = validation, num_train
        self.num_test, self.num_autoattack = num_test, num_autoattack
        self.augment, self.batch_size, self.num_workers, self.seed = augment, batch_size, num_workers, seed
        self.train: LabelledPictures | None = None

    @abstractmethod
    def read(self) -> Images:
        """Reads the data set.

        Raises:
            UserError: the data are absent, damaged or not what their name says.
        """

    def setup(self, stage: str | None = None) -> None:
        if self.train is not None:
            return
        images = self.read()
        order = np.random.default_rng(derived_seed("validation", self.seed)).permutation(len(images.train))
        if self.num_validation >= len(order):
            raise UserError(
                f"data.validation={self.num_validation}: there are {len(order)} training pictures; hold out fewer"
            )
        held_out, rest = order[: self.num_validation], order[self.num_validation :]
        if self.num_train is not None and self.num_train > len(rest):
            raise UserError(
                f"data.num_train={self.num_train}: {len(rest)} training pictures are left after "
                f"data.validation={self.num_validation}; give at most as many"
            )
        train = self._pictures(images.train, images.train_labels, np.sort(rest[: self.num_train]), images.white)
        self.validation = self._pictures(images.train, images.train_labels, np.sort(held_out), images.white)
        test_rows = np.arange(len(images.test))[: self.num_test]
        self.test = self._pictures(images.test, images.test_labels, test_rows, images.white)
        self.class_names, self.num_classes = images.class_names, len(images.class_names)
        self.input_shape = list(train.pictures.shape[1:])
        self._measure(train)
        self.train = train
        log.info(
            f"data: {len(train)} training pictures of {self.num_classes} classes, {len(self.validation)} for "
            f"validation, {len(self.test)} for the test"
        )

    def _pictures(
        self, pictures: Pictures, labels: NDArray[np.int64], rows: NDArray[np.int64], white: int
    ) -> LabelledPictures:
        return LabelledPictures(torch.from_numpy(pictures[rows]), torch.from_numpy(labels[rows]), white)

    def _measure(self, train: LabelledPictures) -> None:
        """Mean and standard deviation of each channel, by counting grey levels."""
        channels = train.pictures.transpose(0, 1).flatten(1)
        counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).double()
        levels = torch.arange(256, dtype=torch.float64) / train.white
        mean = counts @ levels / counts.sum(1)
        variance = counts @ levels.square() / counts.sum(1) - mean.square()
        self.mean = [round(value, 6) for value in mean.tolist()]
        self.std = [round(value, 6) for value in variance.sqrt().tolist()]

    def state_dict(self) -> dict[str, Any]:
        """What scoring new pictures needs to know; part of every checkpoint."""
        return {"input_shape": self.input_shape, "class_names": list(self.class_names)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.input_shape, self.class_names = state_dict["input_shape"], tuple(state_dict["class_names"])

    def train_dataloader(self) -> ResumableLoader:
        assert self.train is not None
        return ResumableLoader(
            self.train, EpochBatchSampler([len(self.train)], [self.batch_size], self.seed), self.num_workers
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Moves a batch of this domain; Lightning's own walk through any structure costs more than a small step."""
        return type(batch)(*(part.to(device, non_blocking=True) for part in batch))

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        return self.evaluation_loader(self.validation) if len(self.validation) > 0 else []

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_loader(self.test)

    def evaluation_loader(self, items: LabelledPictures, batch_size: int = 500) -> DataLoader:
        """All pictures in their order, on every process."""
        batches = [(rows,) for rows in torch.arange(len(items)).split(batch_size)]
        return DataLoader(items, batch_size=None, sampler=batches)  # type: ignore[arg-type]
