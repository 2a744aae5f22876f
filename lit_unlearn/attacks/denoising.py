"""The denoising loss that attacks on diffusion models optimise, of pictures drawn at random."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_unlearn.losses.denoising import noised, squared_error, target
from lit_unlearn.networks.denoiser import Noise


def drawn_loss(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    noise: Noise,
    x: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Tensor:
    """() the mean of equation (3) of `lit_unlearn.losses.denoising` over drawn pictures, timesteps and noise.

    Args:
        predict: noised pictures (B, C, H, W), timesteps (B,) and the numbers (B,) of the pictures to what the model
            says.
        noise: of the model.
        x: (N, C, H, W) the pictures.
        batch_size: B.
        generator: on the CPU.
    """
    rows = torch.randint(len(x), (batch_size,), generator=generator).to(x.device)
    t = torch.randint(noise.num_timesteps, (batch_size,), generator=generator).to(x.device)
    e = torch.randn(batch_size, *x.shape[1:], generator=generator).to(x)
    a = noise.alphas_bar().to(x)[t]
    return squared_error(predict(noised(x[rows], e, a), t, rows), target(x[rows], e, a, noise.prediction)).mean()
