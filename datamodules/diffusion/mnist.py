"""MNIST for diffusion models: handwritten digits, 28x28, grey."""

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.images import Images, read_mnist


class MNIST(DiffusionDataModule):
    """MNIST with its official split, see `datamodules.images.read_mnist`.

    Args:
        data_root: folder that holds `mnist/`.
        protocol: see `DiffusionDataModule`.
    """

    def __init__(self, *, data_root: str, **protocol):
        super().__init__(**protocol)
        self.data_root = data_root

    def read(self) -> Images:
        return read_mnist(self.data_root)
