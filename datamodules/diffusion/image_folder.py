"""A user's own pictures for diffusion models: a folder for each class."""

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.image_folder import read_image_folder
from datamodules.images import Images


class ImageFolder(DiffusionDataModule):
    """Pictures in FOLDER/train/CLASS/ and FOLDER/test/CLASS/, all of one size.

    Args:
        folder: FOLDER.
        protocol: see `DiffusionDataModule`; classes are named by their folders.
    """

    def __init__(self, *, folder: str, **protocol):
        super().__init__(**protocol)
        self.folder = folder

    def read(self) -> Images:
        return read_image_folder(self.folder)
