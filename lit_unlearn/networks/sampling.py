"""Drawing pictures with a diffusion model."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lit_unlearn.networks.denoiser import Noise, Sampler

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(B, C, H, W) noised pictures and () timestep to the (B, C, H, W) prediction."""


@torch.no_grad()
def draw(
    predict: Denoiser, start: Tensor, noise: Noise, sampler: Sampler, steps: int, stop_at: int | None = None
) -> Tensor:
    """(B, C, H, W) pictures from pure noise of that shape.

    DDIM and DPM-Solver are functions of the start; DDPM draws more noise, from a generator that the start seeds, so
    that the same start gives the same pictures with all of them.

    Args:
        predict: the network.
        start: standard normal.
        noise: what the network was trained with.
        sampler: `ddim` without added noise, `ddpm`, or `dpm_solver` (second order, multistep).
        steps: of the sampler.
        stop_at: leave off after that many steps, with noise still in the pictures; None: all.

    Returns:
        in [-1, 1] up to the sampler's last step.
    """
    scheduler = noise.scheduler(sampler)
    scheduler.set_timesteps(steps, device=start.device)
    # Without it diffusers clips the predicted picture and goes on with a noise that does not belong to it.
    extra: dict[str, Any] = {"use_clipped_model_output": True} if sampler == "ddim" else {}
    if sampler == "ddpm":
        seed = int(start.double().sum().mul(1e6).abs().item()) % 2**62
        extra = {"generator": torch.Generator(start.device).manual_seed(seed)}
    x = start
    for t in scheduler.timesteps[:stop_at]:
        x = scheduler.step(predict(x, t), t, x, **extra).prev_sample
    return x


@torch.no_grad()
def drawn_until(predict: Denoiser, start: Tensor, noise: Noise, steps: int, stop_at: int) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) pictures after `stop_at` of `steps` DDIM steps, still noised, and () the timestep they stand at."""
    scheduler = noise.scheduler("ddim")
    scheduler.set_timesteps(steps, device=start.device)
    return draw(predict, start, noise, "ddim", steps, stop_at), scheduler.timesteps[stop_at]
