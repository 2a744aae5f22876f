"""Fashion-MNIST for anomaly detection: clothes, 28x28, grey."""

from datamodules.anomaly.image_classes import ImageClasses
from datamodules.images import Images, read_fashion_mnist


class FashionMNIST(ImageClasses):
    """Fashion-MNIST (Xiao et al., arXiv 1708.07747).

    Args:
        data_root: folder that holds `fashion_mnist/` with the four official idx files, gzipped or plain.
        classes: see `ImageClasses`.
    """

    def __init__(self, *, data_root: str, **classes):
        super().__init__(**classes)
        self.data_root = data_root

    def read(self) -> Images:
        return read_fashion_mnist(self.data_root)
