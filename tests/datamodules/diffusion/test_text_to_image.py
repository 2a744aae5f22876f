"""A folder of pictures with prompts."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datamodules.diffusion.text_to_image import TextToImage
from tests.text_to_image_data import picture_folder


def test_the_protocol_of_the_paper_and_prompts():
    """64 + 16 unlabeled, 20 labelled; a prompt of a class where one is given, else the template."""
    given = {"Brad Pitt": "a photo of BP"}
    protocol = {"sensitive": ["Brad Pitt"], "contamination": 0.2, "num_normal": 64, "num_labelled": 20}
    data = TextToImage(folder=picture_folder(), prompts=given, **protocol)
    data.setup()
    assert data.class_names == ("Brad Pitt", "a middle-aged man") and data.sensitive_classes == [0]
    assert data.prompts == ["a photo of BP", "a photo of a middle-aged man"]
    assert len(data.unlabeled.x) == 80 and int((data.unlabeled.y == 0).sum()) == 16 and len(data.labelled.x) == 20
    assert "prompts" in data.offers and data.input_shape == [3, 8, 8]


def test_grey_pictures_get_three_channels(tmp_path: Path):
    for part in ("train", "test"):
        for number, name in enumerate(("a", "b")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(9):
                Image.fromarray(np.full((8, 8), 20 * number + i, np.uint8)).save(tmp_path / part / name / f"{i}.png")
    data = TextToImage(folder=str(tmp_path), sensitive=["b"], num_labelled=2)
    data.setup()
    assert data.input_shape == [3, 8, 8]
    assert torch.equal(data.unlabeled.x[:, 0], data.unlabeled.x[:, 2])


def test_batches_hold_what_an_encoder_makes_of_pictures():
    data = TextToImage(folder=picture_folder(), sensitive=["Brad Pitt"], num_labelled=20, batch_size=8)
    data.setup()
    pictures = data.unlabeled.x.clone()
    data.encode(lambda x: 2 * x[:, :, ::2, ::2])
    batch = next(iter(data.train_dataloader()))
    assert batch.unlabeled.shape == (8, 3, 4, 4) and batch.labelled.shape[1:] == (3, 4, 4)
    assert torch.equal(data.pools[0].x, 2 * pictures[:, :, ::2, ::2]) and torch.equal(data.unlabeled.x, pictures)
    data.encode(lambda x: x)
    assert torch.equal(data.pools[0].x, pictures)
