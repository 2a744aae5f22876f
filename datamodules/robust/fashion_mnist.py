"""Fashion-MNIST for robust training: clothes, 28x28, grey."""

from datamodules.images import Images, read_fashion_mnist
from datamodules.robust.base import RobustDataModule


class FashionMNIST(RobustDataModule):
    """Fashion-MNIST (Xiao et al., arXiv 1708.07747).

    Args:
        data_root: folder that holds `fashion_mnist/` with the four official idx files, gzipped or plain.
        protocol: see `RobustDataModule`.
    """

    def __init__(self, *, data_root: str, **protocol):
        super().__init__(**protocol)
        self.data_root = data_root

    def read(self) -> Images:
        return read_fashion_mnist(self.data_root)
