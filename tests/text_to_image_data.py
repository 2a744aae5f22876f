"""A tiny random pipeline in the layout of Stable Diffusion, pictures with prompts, and folders of pictures."""

import functools
import json
import string
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.diffusion_data import Generated

PROMPTS = ["a photo of a", "a photo of b", "a photo of c", "a photo of d"]
LENGTH = 24
"""Tokens that the text encoder takes."""
_kept: list[tempfile.TemporaryDirectory[str]] = []


def temporary() -> Path:
    """A folder that is there until the tests end."""
    folder = tempfile.TemporaryDirectory()
    _kept.append(folder)
    return Path(folder.name)


class Prompted(Generated):
    """The generated pictures, with a prompt for each class."""

    offers = (*Generated.offers, "prompts")
    prompts = PROMPTS


def tokenizer() -> Any:
    """CLIP's byte pairs with a vocabulary of letters and a few merges."""
    import transformers

    letters = string.ascii_lowercase + string.digits + "-"
    merges = ["p h", "o t", "ph ot", "phot o</w>", "o f</w>"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    pairs = [tuple(merge.split()) for merge in merges]
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=LENGTH)


@functools.cache
def text_to_image_folder(
    channels: int = 1, timesteps: int = 100, unet: str = "CrossAttnDownBlock2D", in_channels: int = 2
) -> str:
    """A pipeline with an autoencoder that halves sides once, and latents of two channels."""
    import diffusers
    import transformers

    folder, words = temporary(), tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                **{"vocab_size": len(words), "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1},
                **{"num_attention_heads": 2, "max_position_embeddings": LENGTH, "bos_token_id": words.bos_token_id},
                **{"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id},
            )
        )
        vae = diffusers.AutoencoderKL(
            **{"in_channels": channels, "out_channels": channels, "latent_channels": 2, "block_out_channels": (4, 4)},
            **{"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2},
            **{"layers_per_block": 1, "norm_num_groups": 2, "sample_size": 4},
        )
        told = unet != "DownBlock2D"
        network = diffusers.UNet2DConditionModel(
            **{"sample_size": 2, "in_channels": in_channels, "out_channels": in_channels, "layers_per_block": 1},
            **{"block_out_channels": (4, 8), "down_block_types": (unet, "DownBlock2D"), "attention_head_dim": 2},
            **{"up_block_types": ("UpBlock2D", unet.replace("Down", "Up")), "norm_num_groups": 2},
            **{"mid_block_type": "UNetMidBlock2DCrossAttn" if told else None, "cross_attention_dim": 8},
        )
        scheduler = diffusers.PNDMScheduler(
            **{"num_train_timesteps": timesteps, "beta_schedule": "scaled_linear", "beta_start": 0.00085},
            **{"beta_end": 0.012, "skip_prk_steps": True, "steps_offset": 1},
        )
    pipeline = diffusers.StableDiffusionPipeline(
        **{"vae": vae, "text_encoder": encoder, "tokenizer": words, "unet": network, "scheduler": scheduler},
        **{"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    )
    pipeline.save_pretrained(folder)
    return str(folder)


def edited(path: str, file: str, **changed: Any) -> str:
    """A copy of a pipeline folder with other values in one of its JSON files; None removes a key."""
    import shutil

    folder = temporary()
    shutil.copytree(path, folder, dirs_exist_ok=True)
    content = json.loads((folder / file).read_text()) | changed
    (folder / file).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return str(folder)


@functools.cache
def picture_folder(side: int = 8) -> str:
    """Pictures of two classes, enough for the protocol of the paper."""
    folder, rng = temporary(), np.random.default_rng(0)
    for name, level in (("Brad Pitt", 60), ("a middle-aged man", 190)):
        for part, count in (("train", 90), ("test", 8)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(level - 40, level + 40, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return str(folder)


def small_text_to_image() -> list[str]:
    """Overrides that give the text-to-image experiment the tiny pipeline and generated pictures."""
    path, pictures = text_to_image_folder(channels=3, timesteps=1000), picture_folder()
    return [f"model.path={path}", f"data.folder={pictures}", "data.num_samples=8", "method.guidance=1"]
