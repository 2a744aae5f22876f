"""An attack on any diffusion model: it is trained again on a few pictures of what it was to forget."""

import copy
from typing import Any

import torch
from torch import Tensor

from lit_unlearn.attacks.denoising import drawn_loss
from lit_unlearn.networks.denoiser import Noise


@torch.enable_grad()
def relearned(
    unet: Any,
    noise: Noise,
    x: Tensor,
    classes: Tensor | None,
    steps: int,
    seed: int,
    learning_rate: float = 2e-4,
    batch_size: int = 32,
) -> Any:
    """A copy of the model after a few steps of Adam on the denoising loss of some pictures, in eval mode.

    Args:
        unet: the model.
        noise: of the model.
        x: (N, C, H, W) the pictures.
        classes: (N,) int64 told with them; None for an unconditional model.
        steps, learning_rate, batch_size: of Adam.
        seed: draws pictures, timesteps and noise.
    """
    trained = copy.deepcopy(unet).requires_grad_(True).train()
    optimiser = torch.optim.Adam(trained.parameters(), learning_rate)
    generator = torch.Generator().manual_seed(seed)

    def predict(xt: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        told = {} if classes is None else {"class_labels": classes[rows]}
        return trained(xt, t, **told).sample

    for _ in range(steps):
        optimiser.zero_grad()
        drawn_loss(predict, noise, x, batch_size, generator).backward()
        optimiser.step()
    return trained.requires_grad_(False).eval()
