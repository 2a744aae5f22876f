"""scikit-learn's handwritten digits for diffusion models: 8x8, grey, embedded in the library (no file needed)."""

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.images import Images, read_digits


class Digits(DiffusionDataModule):
    """scikit-learn's digits: 1797 pictures, 174 to 183 a class (UCI, Alpaydin and Kaynak, 1998).

    The data set has no official split: the seed draws one, with four fifths of each class for training.

    Args:
        protocol: see `DiffusionDataModule`.
    """

    def __init__(self, **protocol):
        super().__init__(**protocol)

    def read(self) -> Images:
        return read_digits(self.seed, train_share=0.8)
