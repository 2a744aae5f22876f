"""scikit-learn's handwritten digits for anomaly detection: 8x8, grey, embedded in the library (no file needed)."""

from typing import Annotated

from pydantic import Field

from datamodules.anomaly.image_classes import ImageClasses
from datamodules.images import Images, read_digits


class Digits(ImageClasses):
    """scikit-learn's digits: 1797 pictures, 174 to 183 a class (UCI, Alpaydin and Kaynak, 1998).

    The data set has no official split: the seed draws one, with seven tenths of each class for training, so that the
    defaults (100 normal and 12 anomalous unlabeled pictures, 24 labelled anomalies, a fifth more for validation) fit
    every class. The test then has 104 to 108 pictures.

    Args:
        num_normal, contamination, num_labelled, classes: see `ImageClasses`.
    """

    def __init__(
        self,
        num_normal: Annotated[int, Field(ge=1)] | None = 100,
        contamination: Annotated[float, Field(ge=0, lt=1)] = 12 / 112,
        num_labelled: Annotated[int, Field(ge=0)] | None = 24,
        **classes,
    ):
        super().__init__(num_normal=num_normal, contamination=contamination, num_labelled=num_labelled, **classes)

    def read(self) -> Images:
        return read_digits(self.seed)
