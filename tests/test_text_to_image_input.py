"""What a user of a text-to-image pipeline gets wrong: one line with the value and what is allowed; nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diffusion_data import pipeline_folder
from tests.program import run
from tests.refusals import assert_lines, folder as folder, refused
from tests.text_to_image_data import edited, picture_folder, text_to_image_folder

EXPERIMENT = ["experiment=pu_diffusion/text_to_image", "trainer.accelerator=cpu"]


def given(path: str, *more: str) -> list[str]:
    return [*EXPERIMENT, f"model.path={path}", f"data.folder={picture_folder()}", *more]


def whole() -> str:
    return text_to_image_folder(channels=3, timesteps=1000)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (lambda: "nowhere", "no pipeline of diffusers, it has no model_index.json"),
        (lambda: edited(whole(), "model_index.json", unet=None), "a pipeline without a unet and a scheduler; it has"),
        (
            lambda: text_to_image_folder(channels=3, timesteps=1000, unet="DownBlock2D"),
            "its unet has no cross-attention, it is told no text; give a text-to-image pipeline",
        ),
        (
            lambda: text_to_image_folder(channels=3, timesteps=1000, in_channels=3),
            "its unet takes 3 channels, its vae makes latents with 2",
        ),
        (
            lambda: text_to_image_folder(channels=1, timesteps=1000),
            "its vae takes pictures with 1 channels, those of the data have 3",
        ),
        (
            lambda: edited(whole(), "model_index.json", vae=["diffusers", "AutoencoderDC"]),
            "its vae is AutoencoderDC; must be a AutoencoderKL, as in Stable Diffusion 1 and 2",
        ),
        (lambda: edited(whole(), "model_index.json", text_encoder=None), "its text_encoder is missing; must be a CLIP"),
        (
            lambda: edited(whole(), "model_index.json", text_encoder_2=["transformers", "CLIPTextModelWithProjection"]),
            "has two text encoders; only pipelines with one are supported",
        ),
        (lambda: edited(whole(), "unet/config.json", cross_attention_dim=[8]), "its unet cannot be read"),
        (lambda: edited(whole(), "scheduler/scheduler_config.json", beta_start=None), "its scheduler cannot be read"),
        (
            lambda: without(whole(), "text_encoder/model.safetensors"),
            "its text encoder or its tokenizer cannot be read",
        ),
        (lambda: without(whole(), "vae/diffusion_pytorch_model.safetensors"), "its vae cannot be read"),
    ],
)
def test_pipelines_that_do_not_do(path: Callable[[], str], pattern: str):
    made = path()
    assert_lines(refused(*given(made)), [rf"model\.path={made}: {pattern}"])


def without(path: str, file: str) -> str:
    made = edited(path, "model_index.json")
    (Path(made) / file).unlink()
    return made


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        (
            ["data.prompts={Angelina: a face}"],
            r"data\.prompts=\{'Angelina': 'a face'\}: 'Angelina' is no such class; al",
        ),
        (
            ["data.sensitive=[Angelina]"],
            r"data\.sensitive=\['Angelina'\]: 'Angelina' is no such class; allowed: 0 \(Br",
        ),
        (["data.prompt=a photo"], r"data\.prompt='a photo': 'a photo' is the prompt of several classes, or of none"),
        (
            ["data.prompt='a photo of somebody like {}'"],
            r"prompt 'a photo of somebody like Brad Pitt': 25 tokens, the text encoder of model\.path=.* takes 24; ",
        ),
        (["model.lora_rank=0"], r"method\.model\.lora_rank=0: should be greater than or equal to 1"),
        (
            ["model.lora_rank=2", "model.lora_layers=[to_x]"],
            r"model\.lora_layers=\['to_x'\]: the unet has no linear layer whose name ends in to_x; usual ones are to_k",
        ),
        (
            ["method=esd", "method.trained=xattn"],
            r"method\.trained='xattn': should be 'all', 'class_embedding', 'esd-x'",
        ),
        (
            ["method=esd", "method.trained=class_embedding"],
            r"method\.trained=class_embedding: matches none of the weigh",
        ),
        (
            ["method=advunlearn", "model.lora_rank=2"],
            r"model\.lora_rank=2: method=advunlearn trains the text encoder al",
        ),
        (
            ["data=diffusion/image_folder", "data.sensitive=[0]"],
            r"model\.path=.*: is told prompts, these data have none; use data=diffusion/t",
        ),
    ],
)
def test_one_line(overrides: list[str], pattern: str):
    assert_lines(refused(*given(whole()), *overrides), [pattern])


def test_additions_are_for_text_to_image_pipelines():
    path = pipeline_folder(True, (3, 8, 8), 2, timesteps=1000)
    pattern = r"model\.lora_rank=2: additions are for text-to-image pipelines, this network is a UNet2DModel; give null"
    assert_lines(refused(*given(path, "model.lora_rank=2")), [pattern])
    lines = refused(*given(path, "method=esd", "method.trained=esd-x"))
    assert_lines(lines, [r"method\.trained=esd-x: matches none of the weights that are trained of this UNet2DModel"])
    lines = refused(*given(path, "method=advunlearn"))
    assert_lines(lines, [r"model\.path=.*: is told classes; method=advunlearn needs a text-to-image pipeline"])


def test_a_method_that_needs_prompts_and_data_without():
    lines = refused("experiment=esd/digits", "method=advunlearn")
    assert_lines(lines, [r"method\.prompts: missing"])


def test_pictures_that_the_autoencoder_cannot_halve():
    lines = refused(*given(whole()), f"data.folder={picture_folder(side=9)}")
    pattern = (
        r"model\.path=.*: its vae makes latents of a side 2 times shorter, the pictures have 9x9 pixels; give pict"
    )
    assert_lines(lines, [pattern])


def test_the_command_ends_with_status_2(tmp_path: Path):
    ended = run("fit", *given(whole(), "data.prompts={Angelina: a face}"), cwd=tmp_path)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith("error: data.prompts=") and list(tmp_path.iterdir()) == []
