"""CIFAR10 for diffusion models: colour pictures of things and animals, 32x32."""

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.images import Images, read_cifar10


class CIFAR10(DiffusionDataModule):
    """CIFAR10 with its official split, see `datamodules.images.read_cifar10`.

    Args:
        data_root: folder that holds `cifar10/`.
        protocol: see `DiffusionDataModule`.
    """

    def __init__(self, *, data_root: str, **protocol):
        super().__init__(**protocol)
        self.data_root = data_root

    def read(self) -> Images:
        return read_cifar10(self.data_root)
