"""CIFAR-10 for anomaly detection: photographs, 32x32, colour."""

from typing import Annotated

from pydantic import Field

from datamodules.anomaly.image_classes import ImageClasses
from datamodules.images import Images, read_cifar10


class CIFAR10(ImageClasses):
    """CIFAR-10 (Krizhevsky, 2009).

    A class has 5000 training pictures: beside the paper's 4500 unlabeled normal ones a tenth more is left for
    validation, not a fifth.

    Args:
        data_root: folder that holds `cifar10/plain_text/`, the parquet files of the Hugging Face hub.
        validation, classes: see `ImageClasses`.
    """

    def __init__(self, *, data_root: str, validation: Annotated[float, Field(ge=0, le=1)] = 0.1, **classes):
        super().__init__(validation=validation, **classes)
        self.data_root = data_root

    def read(self) -> Images:
        return read_cifar10(self.data_root)
