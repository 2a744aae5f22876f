"""What a user of the diffusion domain gets wrong: a line of what, the value, what is allowed; nothing is written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.diffusion_data import digits_pipeline
from tests.refusals import assert_lines, folder as folder, refused

DRAWING = "experiment=pu_diffusion/digits"


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        (["data.contamination=1", "method.beta=0.1"], r"data\.contamination=1: should be less than 1"),
        (["data.num_labelled=0"], r"data\.num_labelled=0: should be greater than or equal to 1"),
        (
            ["data.covered=[]"],
            r"data\.covered=\[\]: neither all classes nor none may be sensitive; allowed: 1 \(1\), 3",
        ),
        (["data.sensitive=[11]"], r"data\.sensitive=\[11\]: 11 is no such class; allowed: 0 \(0\)"),
        (["data.num_labelled=9999"], r"data\.num_labelled=9999: needs 9999 covered sensitive pictures, the training"),
        (["model.path=nowhere"], r"model\.path and model\.unet: give one of them"),
        (["model.path=nowhere", "model.unet=null"], r"model\.path=nowhere: no pipeline of diffusers"),
        (
            ["model.unet.channels=[8,8,8,8,8]"],
            r"model\.unet\.channels=\[8, 8, 8, 8, 8\]: 5 levels halve the sides 4 times",
        ),
        (["method.sensitive_timesteps=[10,2000]"], r"method\.sensitive_timesteps=\[10, 2000\]: give \[low, high\]"),
        (["data=digits"], r"method is of the domain diffusion and data of the domain anomaly"),
        (["trainer=fsdp"], r"trainer=fsdp: the networks of the domain diffusion are not sharded; use trainer=ddp"),
        (["method=esd"], r"model\.path=null: method=esd changes a trained model; give its pipeline folder"),
    ],
)
def test_one_line(overrides: list[str], pattern: str):
    assert_lines(refused(DRAWING, *overrides), [pattern])


def test_all_errors_at_once():
    lines = refused(DRAWING, "method.beta=1", "method.correction=max", "method.sampler=euler", "data.seeed=1")
    patterns = [
        r"method\.beta=1: should be less than 1 or should be 'estimate'",
        r"method\.correction='max': should be 'abs', 'clamp', 'nnpu' or 'none'",
        r"method\.sampler='euler': should be 'ddim', 'ddpm' or 'dpm_solver'",
        r"data\.seeed=1: no such key; did you mean seed\?",
    ]
    assert_lines(lines, patterns)


def test_a_class_to_forget_needs_a_model_that_is_told_one():
    path = digits_pipeline(False)
    lines = refused("experiment=esd/digits", "requires=[]", f"model.path={path}")
    assert_lines(lines, [rf"model\.path={path}: is not told a class; method=esd needs a class-conditional model"])


def write(path: Path, width: int = 8, height: int = 8, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 255, (height, width), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def pictures() -> None:
    for part, count in (("train", 30), ("test", 6)):
        for number in range(count):
            write(Path("pictures", part, "normal", f"{number}.png"))
            write(Path("pictures", part, "sensitive", f"{number}.png"))


OWN = [DRAWING, "data=diffusion/image_folder"]


def test_no_folder_of_pictures():
    assert_lines(refused(*OWN), [r"data\.folder=pictures: no folder pictures/train; put pictures into train/CLASS/"])


@pytest.mark.parametrize(
    ("damage", "pattern"),
    [
        (
            lambda: write(Path("pictures/train/normal/7.png"), width=9),
            r"data\.folder=pictures: .*7\.png has 9x8 pixels",
        ),
        (
            lambda: Path("pictures/test/normal/2.png").write_bytes(b"x"),
            r"data\.folder: .*2\.png is no readable picture",
        ),
        (lambda: Path("pictures/train/empty").mkdir(), r"data\.folder=pictures: no picture in pictures/train/empty"),
    ],
)
def test_pictures_that_do_not_fit(damage, pattern: str):
    pictures()
    damage()
    assert_lines(refused(*OWN), [pattern])


def test_a_folder_of_pictures_is_read():
    from datamodules.diffusion.image_folder import ImageFolder

    pictures()
    data = ImageFolder(folder="pictures", sensitive=["sensitive"], num_labelled=5)
    data.setup()
    assert data.class_names == ("normal", "sensitive") and data.input_shape == [1, 8, 8]
    assert len(data.unlabeled.x) == 27 + 3 and len(data.test_normal.x) == 6
    write(Path("pictures/train/normal/0.png"), mode="RGB")
    colour = ImageFolder(folder="pictures", sensitive=["sensitive"], num_labelled=5)
    colour.setup()
    assert colour.input_shape == [3, 8, 8]
