"""The networks of diffusion models: diffusers' U-Net made from sizes, or read from a pipeline folder with its noise.

A pipeline folder is what `DiffusionPipeline.save_pretrained` writes: model_index.json, unet/, scheduler/.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from lit_unlearn.errors import UserError
from lit_unlearn.losses.denoising import Prediction

Sampler = Literal["ddim", "ddpm", "dpm_solver"]
Count = Annotated[int, Field(ge=1)]
ONE_STEP = "_one_step_from"
"""Key in the configuration of a U-Net that draws in one step, see `lit_unlearn.networks.one_step`."""


class UNet(TypedDict):
    """A U-Net and the noise it works against.

    Attributes:
        channels: of each level, from the finest; each level has half the side of the one before.
        layers: residual blocks of a level.
        attention: levels with self-attention, from the coarsest.
        groups: of the group normalisation; must divide all channels.
        dropout: in residual blocks.
        conditional: whether the class is told.
        prediction: what the network predicts.
        schedule: of the betas: linear 1e-4 to 0.02 (DDPM) or squaredcos_cap_v2 (improved DDPM).
        timesteps: T.
    """

    channels: list[Count]
    layers: Count
    attention: Annotated[int, Field(ge=0)]
    groups: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    conditional: bool
    prediction: Prediction
    schedule: Literal["linear", "squaredcos_cap_v2"]
    timesteps: Count


@dataclass(frozen=True)
class Noise:
    """How noise is added and what is predicted of it; the configuration of a diffusers scheduler.

    Attributes:
        config: keys of a diffusers scheduler.
    """

    config: dict[str, Any]

    @property
    def prediction(self) -> Prediction:
        return self.config["prediction_type"]

    @property
    def num_timesteps(self) -> int:
        return self.config["num_train_timesteps"]

    def alphas_bar(self) -> Tensor:
        """(T,) products of 1 - beta, float32."""
        return self.scheduler("ddpm").alphas_cumprod

    def scheduler(self, sampler: Sampler) -> Any:
        """A diffusers scheduler that samples with this noise."""
        import diffusers

        classes = {"ddim": "DDIMScheduler", "ddpm": "DDPMScheduler", "dpm_solver": "DPMSolverMultistepScheduler"}
        return getattr(diffusers, classes[sampler]).from_config(self.config | {"timestep_spacing": "trailing"})


def new_unet(sizes: UNet, input_shape: Sequence[int], num_classes: int) -> tuple[nn.Module, Noise]:
    """A U-Net with random weights. A class-conditional one has one more class, `num_classes`: none is told.

    Raises:
        UserError: the pictures' sides cannot be halved as often as there are levels, or groups divide no channels.
    """
    import diffusers

    channels, levels = sizes["channels"], len(sizes["channels"])
    height, width = input_shape[1:]
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise UserError(
            f"model.unet.channels={channels}: {levels} levels halve the sides {levels - 1} times, the pictures have "
            f"{width}x{height} pixels; give fewer levels"
        )
    if any(count % sizes["groups"] for count in channels):
        raise UserError(
            f"model.unet.groups={sizes['groups']}: does not divide all of model.unet.channels={channels}; "
            "give another number"
        )
    attends = [level >= levels - sizes["attention"] for level in range(levels)]
    unet: Any = diffusers.UNet2DModel(
        sample_size=(height, width),  # type: ignore[arg-type]
        in_channels=input_shape[0],
        out_channels=input_shape[0],
        block_out_channels=tuple(channels),
        layers_per_block=sizes["layers"],
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        norm_num_groups=sizes["groups"],
        add_attention=sizes["attention"] > 0,
        dropout=sizes["dropout"],
        num_class_embeds=num_classes + 1 if sizes["conditional"] else None,
    )
    noise = {
        "num_train_timesteps": sizes["timesteps"],
        "beta_schedule": sizes["schedule"],
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "prediction_type": sizes["prediction"],
    }
    return unet, Noise(noise)


def pretrained_unet(path: str, input_shape: Sequence[int], num_classes: int) -> tuple[nn.Module, Noise]:
    """The U-Net of a pipeline folder in float32, and its noise.

    Raises:
        UserError: it is no pipeline with an unconditional or class-conditional U-Net, or not for these pictures.
    """
    import diffusers

    folder, parts = Path(path).expanduser(), pipeline_parts(path)
    if parts["unet"][1] != "UNet2DModel":
        raise UserError(
            f"model.path={path}: its unet is a {parts['unet'][1]}; this method and these data need a UNet2DModel"
        )
    try:
        unet: Any = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"model.path={path}: its unet cannot be read ({reason})") from error
    if ONE_STEP in unet.config:
        raise UserError(
            f"model.path={path}: draws in one step and is no diffusion model; give the one that it was made from"
        )
    size, channels = unet.config.sample_size, unet.config.in_channels
    sides = [size, size] if isinstance(size, int) else list(size)
    if [channels, *sides] != list(input_shape):
        raise UserError(
            f"model.path={path}: made for pictures {[channels, *sides]}, those of the data are {list(input_shape)}"
        )
    told = unet.config.num_class_embeds
    if told is not None and told != num_classes + 1:
        raise UserError(
            f"model.path={path}: made for {told - 1} classes (and none), the data have {num_classes}; give the data or "
            "the model that belong together"
        )
    return unet.train(), noise_of(path)  # diffusers hands it over in eval mode


def pipeline_parts(path: str) -> dict[str, Any]:
    """The parts of a pipeline folder, as name: [library, class]; a class is None where the part is left out.

    Raises:
        UserError: the folder is no pipeline, or one without a U-Net and a scheduler.
    """
    index = Path(path).expanduser() / "model_index.json"
    if not index.is_file():
        raise UserError(f"model.path={path}: no pipeline of diffusers, it has no model_index.json; give such a folder")
    try:
        said = json.loads(index.read_text())
        parts = {key: value for key, value in said.items() if isinstance(value, list) and key.isidentifier()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"model.path={path}: its model_index.json cannot be read ({error}); get it anew") from error
    if "unet" not in parts or "scheduler" not in parts:
        there = ", ".join(parts) or "nothing"
        raise UserError(f"model.path={path}: a pipeline without a unet and a scheduler; it has {there}")
    return parts


def noise_of(path: str, **changed: Any) -> Noise:
    """What a pipeline folder's scheduler says of its noise.

    Args:
        path: of the folder.
        changed: more of a scheduler's configuration; without `clip_sample=False` samplers clip to [-1, 1].

    Raises:
        UserError: its configuration cannot be read or lacks a part.
    """
    keys = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end")
    try:
        config = json.loads((Path(path).expanduser() / "scheduler" / "scheduler_config.json").read_text())
        found = {key: config[key] for key in keys}
        found |= {key: config[key] for key in ("trained_betas", "rescale_betas_zero_snr") if config.get(key)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"model.path={path}: its scheduler cannot be read ({reason})") from error
    return Noise(found | {"prediction_type": config.get("prediction_type", "epsilon")} | changed)


def save_pipeline(folder: Path, unet: Any, noise: Noise) -> None:
    """Writes a folder that `diffusers.DiffusionPipeline.from_pretrained` loads; its own call samples with DDPM."""
    import diffusers

    pipeline: Any = diffusers.DDPMPipeline(unet=unet, scheduler=noise.scheduler("ddpm"))
    pipeline.save_pretrained(folder)
