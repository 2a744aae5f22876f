"""CIFAR-10 for robust training: photographs, 32x32, colour."""

from datamodules.images import Images, read_cifar10
from datamodules.robust.base import RobustDataModule


class CIFAR10(RobustDataModule):
    """CIFAR-10 (Krizhevsky, 2009).

    Args:
        data_root: folder that holds `cifar10/` with `plain_text/` and in it the hub's parquet files.
        protocol: see `RobustDataModule`.
    """

    def __init__(self, *, data_root: str, **protocol):
        super().__init__(**protocol)
        self.data_root = data_root

    def read(self) -> Images:
        return read_cifar10(self.data_root)
