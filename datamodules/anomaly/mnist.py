"""MNIST for anomaly detection: handwritten digits, 28x28, grey."""

from datamodules.anomaly.image_classes import ImageClasses
from datamodules.images import Images, read_mnist


class MNIST(ImageClasses):
    """MNIST (LeCun, Cortes, Burges, 1998).

    Args:
        data_root: folder that holds `mnist/` with the four official idx files, gzipped or plain.
        classes: see `ImageClasses`.
    """

    def __init__(self, *, data_root: str, **classes):
        super().__init__(**classes)
        self.data_root = data_root

    def read(self) -> Images:
        return read_mnist(self.data_root)
