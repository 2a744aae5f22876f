"""The judge: a classifier of the data set's classes that says what a diffusion model has drawn."""

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_unlearn.metrics.generated import frechet_distance
from lit_unlearn.networks.picture_classifier import PictureClassifier, in_batches, trained_classifier
from lit_unlearn.reproducibility import derived_seed

if TYPE_CHECKING:
    from datamodules.diffusion.base import DiffusionDataModule

TEST, VALIDATION = "test", "validation"
_trained: dict[tuple[str, int, int], PictureClassifier] = {}


class Judge:
    """Names the class of pictures, and measures how far they are from normal ones in its features.

    Args:
        network: classifier of all classes of the data set.
        sensitive: the sensitive classes.
        normal: (N, C, H, W) normal pictures to compare with.
    """

    def __init__(self, network: PictureClassifier, sensitive: list[int], normal: Tensor):
        self.network, self.sensitive = network, torch.tensor(sensitive)
        self.normal_features = self.features(normal)

    def features(self, x: Tensor) -> Tensor:
        """(N, 64)."""
        return in_batches(self.network.features, x)

    def classes(self, x: Tensor) -> Tensor:
        """(N,) int64."""
        return in_batches(self.network, x).argmax(1)

    def is_sensitive(self, classes: Tensor) -> Tensor:
        """(N,) bool."""
        return torch.isin(classes, self.sensitive)

    def frechet(self, x: Tensor) -> float:
        """Frechet distance of pictures to the normal ones."""
        return frechet_distance(self.normal_features, self.features(x))


def judge_of(data: "DiffusionDataModule", part: str) -> Judge:
    """The judge of a data set, trained on the training split with its labels; once a process for the same pictures.

    Args:
        data: set up.
        part: `test` compares with the normal test pictures; `validation` is another network and compares with the
            normal pictures that were held out of the training split: settings are chosen by it, so that the one whose
            numbers are reported has had no part in the choice.
    """
    x, y = data.judge_train
    pictures = hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest()
    key = (pictures, data.judge_steps, derived_seed(part, data.seed))
    if key not in _trained:
        _trained[key] = trained_classifier(x, y, data.num_classes, *key[1:])
    normal = data.test_normal.x if part == TEST else data.validation_normal.x
    return Judge(_trained[key], data.sensitive_classes, normal)
