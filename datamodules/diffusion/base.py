"""The LightningDataModule of the diffusion domain: unlabeled pictures, labelled sensitive ones, a normal test."""

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.diffusion.batches import DiffusionBatch
from datamodules.images import Images
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader, derived_seed

log = logging.getLogger(__name__)


class Pictures(NamedTuple):
    """Pictures in memory.

    Attributes:
        x: (N, C, H, W) float32 in [-1, 1].
        y: (N,) int64 class numbers.
    """

    x: Tensor
    y: Tensor

    def of(self, chosen: Tensor) -> "Pictures":
        """Those of a mask or of row numbers."""
        return Pictures(self.x[chosen], self.y[chosen])


class DiffusionBatches(Dataset):
    """Two pools of pictures; indexed with a pair of index tensors, gives a `DiffusionBatch`."""

    def __init__(self, unlabeled: Pictures, labelled: Pictures):
        self.unlabeled, self.labelled = unlabeled, labelled

    def __getitem__(self, indices: tuple[Tensor, Tensor]) -> DiffusionBatch:
        return DiffusionBatch(*self.unlabeled.of(indices[0]), *self.labelled.of(indices[1]))


class DiffusionDataModule(LightningDataModule):
    """A labelled image data set in which some classes are sensitive, and what a user would have of it.

    From the training split the seed draws: U, normal pictures with a share of sensitive ones, unlabeled; S, labelled
    sensitive ones; held-out normal ones for choosing settings. The test is normal pictures of the test split alone.
    The judge of what is generated is trained on the whole training split with its labels, which no method sees.

    Args:
        sensitive: the sensitive classes, by number or by name.
        contamination: share of sensitive pictures among the unlabeled ones, in [0, 1).
        num_normal: normal pictures among the unlabeled ones; None takes all.
        num_labelled: labelled sensitive pictures; None takes as many as there are unlabeled sensitive ones at a
            contamination of 1/11.
        covered: the sensitive classes that the labelled pictures are of; None: all of them.
        validation: share of the training split's normal pictures that is held out.
        num_samples: pictures that are generated to be judged.
        judge_steps: optimiser steps of the judge.
        attack_steps: optimiser steps of each attack on a model that was to forget a class.
        drawn_at_once: pictures in a pass of the evaluation; large ones need memory.
        feature_network: folder of a vision model of transformers, in whose features FID and KID are measured; None
            leaves these two out.
        batch_size: unlabeled pictures in an optimiser step, over all processes.
        labelled_batch_size: labelled ones.
        num_workers: loader processes.
        seed: draws the split and the order of the batches.

    `offers` names what a method must know of the data to be built: constructor arguments of these names are filled in.

    After `setup`: `unlabeled`, `labelled`, `validation_normal`, `test_normal`, `test_sensitive`, `judge_train`,
    `judge_test` (`Pictures`); `pools`, the two that batches are drawn from; `class_names`, `input_shape`,
    `num_classes`, `sensitive_classes`; `realised`, the share of sensitive pictures in U.

    Raises:
        UserError: in `setup`: there are not enough pictures, or a class does not exist.
    """

    offers: ClassVar[tuple[str, ...]] = ("input_shape", "num_classes", "sensitive_classes")

    def __init__(
        self,
        sensitive: list[int | str],
        contamination: Annotated[float, Field(ge=0, lt=1)] = 1 / 11,
        num_normal: Annotated[int, Field(ge=1)] | None = None,
        num_labelled: Annotated[int, Field(ge=1)] | None = None,
        covered: list[int | str] | None = None,
        validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        num_samples: Annotated[int, Field(ge=2)] = 1000,
        judge_steps: Annotated[int, Field(ge=1)] = 600,
        attack_steps: Annotated[int, Field(ge=1)] = 100,
        drawn_at_once: Annotated[int, Field(ge=1)] = 500,
        feature_network: str | None = None,
        batch_size: Annotated[int, Field(ge=1)] = 64,
        labelled_batch_size: Annotated[int, Field(ge=1)] = 64,
        num_workers: Annotated[int, Field(ge=0)] = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.sensitive, self.covered = sensitive, covered
        self.contamination, self.num_normal, self.num_labelled = contamination, num_normal, num_labelled
        self.validation, self.num_samples, self.judge_steps = validation, num_samples, judge_steps
        self.attack_steps, self.drawn_at_once, self.feature_network = attack_steps, drawn_at_once, feature_network
        self.batch_size, self.labelled_batch_size = batch_size, labelled_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.class_names: tuple[str, ...] = ()

    @abstractmethod
    def read(self) -> Images:
        """Reads the data set.

        Raises:
            UserError: the data are absent, damaged or not what their name says.
        """

    def setup(self, stage: str | None = None) -> None:
        if self.class_names:
            return
        images = self.read()
        names, labels = images.class_names, images.train_labels
        self.sensitive_classes = self._classes("sensitive", self.sensitive, names, range(len(names)))
        covered = self.sensitive if self.covered is None else self.covered
        covered_classes = self._classes("covered", covered, names, self.sensitive_classes)
        rng = np.random.default_rng(derived_seed("diffusion", self.seed))
        is_sensitive = np.isin(labels, self.sensitive_classes)
        normal, sensitive = (rng.permutation(np.flatnonzero(of)) for of in (~is_sensitive, is_sensitive))
        held_out, normal = np.split(normal, [int(self.validation * len(normal))])
        if self.num_normal is not None:
            _check_enough("num_normal", self.num_normal, self.num_normal, len(normal), "normal")
            normal = normal[: self.num_normal]
        hidden = round(self.contamination / (1 - self.contamination) * len(normal))
        _check_enough("contamination", self.contamination, hidden, len(sensitive), "sensitive")
        in_unlabeled, rest = np.split(sensitive, [hidden])
        rest = rest[np.isin(labels[rest], covered_classes)]
        wanted = self.num_labelled if self.num_labelled is not None else max(1, len(normal) // 10)
        _check_enough("num_labelled", self.num_labelled, wanted, len(rest), "covered sensitive")
        labelled = rest[:wanted]

        def pictures(rows: NDArray[np.int64]) -> Pictures:
            return _pictures(images.train[rows], labels[rows], images.white)

        self.unlabeled, self.labelled = pictures(np.concatenate([normal, in_unlabeled])), pictures(labelled)
        self.pools = (self.unlabeled, self.labelled)
        self.validation_normal = pictures(held_out)
        self.judge_train = pictures(np.arange(len(labels)))
        self.judge_test = _pictures(images.test[:], images.test_labels, images.white)
        in_test = torch.from_numpy(np.isin(images.test_labels, self.sensitive_classes))
        self.test_normal, self.test_sensitive = self.judge_test.of(~in_test), self.judge_test.of(in_test)
        self.realised = hidden / (len(normal) + hidden)
        self.input_shape, self.num_classes = list(self.unlabeled.x.shape[1:]), len(names)
        self.class_names = names
        log.info(
            f"data: {len(self.unlabeled.x)} unlabeled pictures of which {self.realised:.2%} are sensitive, "
            f"{len(labelled)} labelled sensitive ones, {len(held_out)} normal ones for validation, "
            f"{len(self.test_normal.x)} for the test"
        )

    @property
    def normal_classes(self) -> list[int]:
        return [number for number in range(self.num_classes) if number not in self.sensitive_classes]

    def _classes(self, key: str, given: list[int | str], names: tuple[str, ...], allowed: Any) -> list[int]:
        """Class numbers of what the user gave."""
        numbers = [names.index(each) if isinstance(each, str) and each in names else each for each in given]
        wrong = [each for each in numbers if each not in allowed]
        if wrong or not numbers or len(numbers) == len(names):
            options = ", ".join(f"{number} ({names[number]})" for number in allowed)
            what = f"{wrong[0]!r} is no such class" if wrong else "neither all classes nor none may be sensitive"
            raise UserError(f"data.{key}={given}: {what}; allowed: {options}")
        return sorted({int(number) for number in numbers})

    def encode(self, encoder: Callable[[Tensor], Tensor]) -> None:
        """Puts (N, ...) what an encoder makes of pictures into batches in their place.

        Args:
            encoder: of (N, C, H, W) pictures in [-1, 1].
        """
        unlabeled, labelled = (Pictures(encoder(part.x), part.y) for part in (self.unlabeled, self.labelled))
        self.pools = (unlabeled, labelled)

    def train_dataloader(self) -> ResumableLoader:
        sizes = [len(self.unlabeled.x), len(self.labelled.x)]
        sampler = EpochBatchSampler(sizes, [self.batch_size, self.labelled_batch_size], self.seed)
        return ResumableLoader(DiffusionBatches(*self.pools), sampler, self.num_workers)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Moves a batch of this domain; Lightning's own walk through any structure costs more than a small step."""
        return type(batch)(*(part.to(device, non_blocking=True) for part in batch))

    def test_dataloader(self) -> list[Any]:
        """Nothing: what is tested is generated."""
        return []


def _check_enough(key: str, value: Any, needed: int, there: int, kind: str) -> None:
    if needed > there:
        raise UserError(
            f"data.{key}={value}: needs {needed} {kind} pictures, the training split has {there} left; give less"
        )


def _pictures(x: NDArray[np.uint8], y: NDArray[np.int64], white: int) -> Pictures:
    scaled = x.astype(np.float32)
    scaled *= np.float32(2 / white)
    scaled -= np.float32(1)
    return Pictures(torch.from_numpy(scaled), torch.from_numpy(y))
