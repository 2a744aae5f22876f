"""The autoencoder of a latent diffusion model: pictures to latents and back, a few at a time, without gradients.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022. A picture's latents are the
mean of the encoder's distribution, times the autoencoder's scaling factor: a function of the picture alone, so that
they are the same at each start of a run. The distribution's own width is small beside the noise of the first timestep.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_unlearn.errors import UserError

AT_ONCE = 8
"""Pictures in a pass."""


class Autoencoder:
    """Diffusers' AutoencoderKL; in no checkpoint, and not trained.

    Args:
        vae: in eval mode.
    """

    def __init__(self, vae: Any):
        self.vae = vae.eval().requires_grad_(False)

    @property
    def factor(self) -> int:
        """By how much the sides of latents are shorter than those of pictures."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent_shape(self, input_shape: Sequence[int]) -> list[int]:
        """(C, H, W) of the latents of pictures of that shape."""
        return [self.vae.config.latent_channels, *(side // self.factor for side in input_shape[1:])]

    @torch.no_grad()
    def encode(self, x: Tensor, device: torch.device) -> Tensor:
        """(N, C, H, W) pictures in [-1, 1] to latents, on the device that the pictures are on.

        Args:
            device: where it is computed.
        """
        self.vae.to(device)
        parts = (self.vae.encode(part.to(device).float()).latent_dist.mode() for part in x.split(AT_ONCE))
        return torch.cat([(part * self.vae.config.scaling_factor).to(x) for part in parts])

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(N, C, H, W) latents to pictures, which may lie beyond [-1, 1]."""
        self.vae.to(z.device)
        parts = (self.vae.decode(part.float() / self.vae.config.scaling_factor).sample for part in z.split(AT_ONCE))
        return torch.cat([part.to(z) for part in parts])


def read_autoencoder(folder: Path, input_shape: Sequence[int], name: str) -> Autoencoder:
    """The autoencoder of a pipeline folder in float32.

    Args:
        folder: of the pipeline.
        input_shape: (C, H, W) of the pictures.
        name: of the pipeline in error messages.

    Raises:
        UserError: it cannot be read, or does not fit the pictures.
    """
    import diffusers

    try:
        vae = diffusers.AutoencoderKL.from_pretrained(
            folder, subfolder="vae", torch_dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: its vae cannot be read ({reason})") from error
    found = Autoencoder(vae)
    channels, height, width = input_shape
    if vae.config.in_channels != channels:
        raise UserError(
            f"{name}: its vae takes pictures with {vae.config.in_channels} channels, those of the data have {channels}"
        )
    if height % found.factor or width % found.factor:
        raise UserError(
            f"{name}: its vae makes latents of a side {found.factor} times shorter, the pictures have {width}x{height} "
            f"pixels; give pictures whose sides are multiples of {found.factor}"
        )
    return found
