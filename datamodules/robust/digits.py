"""scikit-learn's handwritten digits for robust training: 8x8, grey, embedded in the library (no file needed)."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from datamodules.images import Images, read_digits
from datamodules.robust.base import RobustDataModule
from lit_unlearn.reproducibility import derived_seed


class Digits(RobustDataModule):
    """scikit-learn's digits: 1797 pictures (UCI, Alpaydin and Kaynak, 1998).

    The data set has no official split: the seed draws one, with seven tenths of each class for training (1252) and the
    rest for the test (545), in random order, so that the first test pictures are of all classes.

    Args:
        validation, protocol: see `RobustDataModule`.
    """

    def __init__(self, validation: Annotated[int, Field(ge=0)] = 252, **protocol):
        super().__init__(validation=validation, **protocol)

    def read(self) -> Images:
        images = read_digits(self.seed)
        order = np.random.default_rng(derived_seed("test", self.seed)).permutation(len(images.test))
        return replace(images, test=images.test[order], test_labels=images.test_labels[order])
