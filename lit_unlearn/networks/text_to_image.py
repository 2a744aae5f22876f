"""Text-to-image pipelines as class-conditional networks: the classes are prompts, "no class" is the empty prompt.

A pipeline folder in the layout of Stable Diffusion: model_index.json, unet/ (UNet2DConditionModel), vae/
(AutoencoderKL), text_encoder/ (CLIPTextModel), tokenizer/ (CLIPTokenizer), scheduler/, and whatever else, which is not
read and is carried over to exports as it is. Weights are read from safetensors alone.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_unlearn.errors import UserError
from lit_unlearn.networks.denoiser import Noise, noise_of, pipeline_parts
from lit_unlearn.networks.latents import Autoencoder, read_autoencoder
from lit_unlearn.networks.prompts import PromptEncoder, read_prompt_encoder
from lit_unlearn.networks.trained_parts import merge_lora

CLASSES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "tokenizer": "CLIPTokenizer",
}


class TextToImage(nn.Module):
    """A U-Net that is told prompts by number, as a class-conditional one is told classes.

    Its `state_dict` holds the trained weights alone: the others are read from the pipeline's folder again.

    Args:
        unet: diffusers' UNet2DConditionModel.
        told: (P, L, D) what the text encoder makes of the prompts.
    """

    told: Tensor

    def __init__(self, unet: Any, told: Tensor):
        super().__init__()
        self.unet = unet
        self.register_buffer("told", told, persistent=False)
        self.config: Any = type(unet.config)({**unet.config, "num_class_embeds": len(told)})
        self.fixed: frozenset[str] = frozenset()
        self.register_state_dict_post_hook(_without_fixed)

    def fix_untrained(self) -> None:
        """Takes the weights that are not trained now for those of the folder."""
        self.fixed = frozenset(name for name, weight in self.named_parameters() if not weight.requires_grad)

    def hear(self, rows: Tensor, prefix: Tensor | None = None) -> Tensor:
        """(B, L, D) what the U-Net is told for (B,) numbers of prompts."""
        assert prefix is None
        return self.told[rows]

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor) -> Any:
        """The U-Net's output, its `sample` (B, C, H, W), for noised latents, timesteps () or (B,), and prompts (B,)."""
        return self.unet(x, t, encoder_hidden_states=self.hear(class_labels))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        own = dict(self.named_parameters())
        for name in self.fixed:
            state_dict.setdefault(prefix + name, own[name].detach())
        super()._load_from_state_dict(state_dict, prefix, *others)


def _without_fixed(module: Any, state_dict: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in module.fixed:
        state_dict.pop(prefix + name, None)


class TextTrained(TextToImage):
    """The same with its text encoder, which is trained; the U-Net is not.

    Args:
        unet: diffusers' UNet2DConditionModel.
        prompts: the text encoder, and the prompts by number.
    """

    def __init__(self, unet: Any, prompts: PromptEncoder):
        super().__init__(unet.requires_grad_(False), torch.empty(len(prompts.ids), 0))
        self.prompts = prompts.requires_grad_(True).train()
        self.fix_untrained()

    def hear(self, rows: Tensor, prefix: Tensor | None = None) -> Tensor:
        """(B, L, D) for (B,) numbers of prompts and a prefix of them, see `PromptEncoder`."""
        return self.prompts(rows, prefix)


class Pipeline(NamedTuple):
    """What is read of a pipeline's folder.

    Attributes:
        unet: in float32, in training mode.
        noise: what it works against.
        prompts: text encoder and prompts.
        autoencoder: see there.
    """

    unet: Any
    noise: Noise
    prompts: PromptEncoder
    autoencoder: Autoencoder


def is_text_to_image(path: str) -> bool:
    """Whether the U-Net of a pipeline's folder is told prompts.

    Raises:
        UserError: the folder is no pipeline.
    """
    return pipeline_parts(path)["unet"][1] == CLASSES["unet"]


def read_text_to_image(path: str, input_shape: Sequence[int], prompts: Sequence[str]) -> Pipeline:
    """A text-to-image pipeline for pictures of a shape, and what it makes of prompts.

    Raises:
        UserError: it is not laid out like Stable Diffusion's, a part cannot be read, or it does not fit the data.
    """
    import diffusers

    parts, name, folder = pipeline_parts(path), f"model.path={path}", Path(path).expanduser()
    for part, wanted in CLASSES.items():
        if part not in parts or parts[part][1] != wanted:
            found = parts[part][1] if part in parts and parts[part][1] else "missing"
            raise UserError(f"{name}: its {part} is {found}; must be a {wanted}, as in Stable Diffusion 1 and 2")
    if "text_encoder_2" in parts:
        raise UserError(f"{name}: has two text encoders; only pipelines with one are supported, as Stable Diffusion 1")
    try:
        unet: Any = diffusers.UNet2DConditionModel.from_pretrained(
            folder, subfolder="unet", torch_dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: its unet cannot be read ({reason})") from error
    if not any(".attn2." in weight for weight, _ in unet.named_parameters()):
        raise UserError(f"{name}: its unet has no cross-attention, it is told no text; give a text-to-image pipeline")
    autoencoder = read_autoencoder(folder, input_shape, name)
    latents, taken = autoencoder.latent_shape(input_shape)[0], unet.config.in_channels
    if taken != latents:
        raise UserError(f"{name}: its unet takes {taken} channels, its vae makes latents with {latents}")
    encoder = read_prompt_encoder(folder, prompts, name)
    width = encoder.text_encoder.config.hidden_size  # type: ignore[union-attr]
    if width != unet.config.cross_attention_dim:
        told = unet.config.cross_attention_dim
        raise UserError(f"{name}: its unet is told texts of width {told}, its text encoder makes {width}")
    return Pipeline(unet.train(), noise_of(path, clip_sample=False), encoder, autoencoder)


@torch.no_grad()
def with_fixed_prompts(read: Pipeline) -> TextToImage:
    """The network of a pipeline whose text encoder is not trained: the prompts are encoded once."""
    return TextToImage(read.unet, read.prompts(torch.arange(len(read.prompts.ids))))


def save_text_to_image(folder: Path, path: str, network: TextToImage) -> None:
    """Writes a folder that `diffusers.DiffusionPipeline.from_pretrained` loads: the network's U-Net with additions
    worked in and, where it is trained, its text encoder; all else is copied from the pipeline at `path`."""
    source = Path(path).expanduser()
    made: dict[str, Any] = {}
    if isinstance(network, TextTrained):
        made["text_encoder"] = network.prompts.text_encoder
    else:
        made["unet"] = merge_lora(network.unet)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "model_index.json", folder / "model_index.json")
    for part in pipeline_parts(path):
        if part in made:
            made[part].save_pretrained(folder / part)
        elif (source / part).is_dir():
            shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
