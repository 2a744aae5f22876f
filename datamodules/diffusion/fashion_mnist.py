"""FashionMNIST for diffusion models: clothes, 28x28, grey."""

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.images import Images, read_fashion_mnist


class FashionMNIST(DiffusionDataModule):
    """FashionMNIST with its official split, see `datamodules.images.read_fashion_mnist`.

    Args:
        data_root: folder that holds `fashion_mnist/`.
        protocol: see `DiffusionDataModule`.
    """

    def __init__(self, *, data_root: str, **protocol):
        super().__init__(**protocol)
        self.data_root = data_root

    def read(self) -> Images:
        return read_fashion_mnist(self.data_root)
