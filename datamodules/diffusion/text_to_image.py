"""A user's own pictures for text-to-image pipelines: a folder for each class, and a prompt for each class."""

import numpy as np

from datamodules.diffusion.base import DiffusionDataModule
from datamodules.image_folder import read_image_folder
from datamodules.images import Images
from lit_unlearn.errors import UserError


class TextToImage(DiffusionDataModule):
    """Pictures in FOLDER/train/CLASS/ and FOLDER/test/CLASS/, all of one size; grey ones get three equal channels.

    Args:
        folder: FOLDER.
        prompt: of every class, with {} in the place of its name.
        prompts: of some classes by name, in the place of that.
        protocol: see `DiffusionDataModule`; classes are named by their folders.

    After `setup`: also `prompts`, one for each class.

    Raises:
        UserError: in `setup`, see `DiffusionDataModule`; or a prompt is of no class, or two classes have the same.
    """

    offers = (*DiffusionDataModule.offers, "prompts")

    def __init__(
        self, *, folder: str, prompt: str = "a photo of {}", prompts: dict[str, str] | None = None, **protocol
    ):
        super().__init__(**protocol)
        self.folder, self.template, self.given = folder, prompt, prompts or {}
        self.prompts: list[str] = []

    def read(self) -> Images:
        found = read_image_folder(self.folder)
        train, test = (_in_colour(part[:]) for part in (found.train, found.test))
        return Images(train, found.train_labels, test, found.test_labels, found.class_names, found.white)

    def setup(self, stage: str | None = None) -> None:
        if self.class_names:
            return
        super().setup(stage)
        unknown = [name for name in self.given if name not in self.class_names]
        if unknown:
            raise UserError(
                f"data.prompts={self.given}: {unknown[0]!r} is no such class; allowed: {', '.join(self.class_names)}"
            )
        self.prompts = [self.given.get(name, self.template.replace("{}", name)) for name in self.class_names]
        same = [prompt for prompt in self.prompts if self.prompts.count(prompt) > 1 or not prompt]
        if same:
            raise UserError(
                f"data.prompt={self.template!r}: {same[0]!r} is the prompt of several classes, or of none; give a "
                "prompt with {} in the place of the class's name, or data.prompts={CLASS: PROMPT}"
            )


def _in_colour(x: np.ndarray) -> np.ndarray:
    return np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x
