"""MNIST for robust training: handwritten digits, 28x28, grey."""

from datamodules.images import Images, read_mnist
from datamodules.robust.base import RobustDataModule


class MNIST(RobustDataModule):
    """MNIST (LeCun, Cortes, Burges, 1998).

    Args:
        data_root: folder that holds `mnist/` with the four official idx files, gzipped or plain.
        protocol: see `RobustDataModule`.
    """

    def __init__(self, *, data_root: str, **protocol):
        super().__init__(**protocol)
        self.data_root = data_root

    def read(self) -> Images:
        return read_mnist(self.data_root)
