"""Denoising losses of diffusion models, as pure functions.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020; Salimans and Ho, "Progressive Distillation", ICLR
2022 (v); Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", ICCV 2023. Equation numbers are
those of this module, a_t the product of (1 - beta_s) over s <= t, SNR(t) = a_t / (1 - a_t):

    (1)  x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e
    (2)  targets: e (epsilon), x_0 (sample), v = sqrt(a_t) e - sqrt(1 - a_t) x_0 (v_prediction)
    (3)  l(x) = |target - prediction|^2, mean or sum over the pixels
    (4)  min-SNR weights: min(SNR, g) over SNR (epsilon), over SNR + 1 (v_prediction), over 1 (sample)
    (5)  x_0 behind a prediction: (x_t - sqrt(1 - a_t) e) / sqrt(a_t), x_0, or sqrt(a_t) x_t - sqrt(1 - a_t) v
"""

from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "sample"]
Pixels = Literal["mean", "sum"]


def noised(x: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Equation (1).

    Args:
        x, noise: (B, C, H, W).
        alpha_bar: (B,) a_t of each sample's timestep.
    """
    a = alpha_bar.view(-1, 1, 1, 1).to(x)
    return a.sqrt() * x + (1 - a).sqrt() * noise


def target(x: Tensor, noise: Tensor, alpha_bar: Tensor, prediction: Prediction) -> Tensor:
    """Equation (2): (B, C, H, W), what the network is to say about `noised(x, noise, alpha_bar)`."""
    a = alpha_bar.view(-1, 1, 1, 1).to(x)
    match prediction:
        case "epsilon":
            return noise
        case "sample":
            return x
        case "v_prediction":
            return a.sqrt() * noise - (1 - a).sqrt() * x


def clean(said: Tensor, x: Tensor, alpha_bar: Tensor, prediction: Prediction) -> Tensor:
    """Equation (5): (B, C, H, W) the picture that a network sees behind a noised one, in one step.

    Args:
        said: (B, C, H, W) what the network predicts.
        x: (B, C, H, W) the noised pictures.
        alpha_bar: (B,) a_t of each sample's timestep.
    """
    a = alpha_bar.view(-1, 1, 1, 1).to(x)
    match prediction:
        case "sample":
            return said
        case "epsilon":
            return (x - (1 - a).sqrt() * said) / a.sqrt()
        case "v_prediction":
            return a.sqrt() * x - (1 - a).sqrt() * said


def squared_error(predicted: Tensor, wanted: Tensor, pixels: Pixels = "mean") -> Tensor:
    """Equation (3): (B, C, H, W) to (B,), in float32 or wider also under autocast."""
    wide = torch.float64 if predicted.dtype == torch.float64 else torch.float32
    errors = (predicted.to(wide) - wanted.to(wide)).square().flatten(1)
    return errors.mean(1) if pixels == "mean" else errors.sum(1)


def min_snr_weight(alpha_bar: Tensor, prediction: Prediction, gamma: float) -> Tensor:
    """Equation (4): (B,) weights of the losses.

    Args:
        alpha_bar: (B,) a_t, below 1.
        prediction: what the network predicts.
        gamma: g, 5 in the paper.
    """
    snr = alpha_bar / (1 - alpha_bar)
    least = snr.clamp_max(gamma)
    match prediction:
        case "epsilon":
            return least / snr
        case "v_prediction":
            return least / (snr + 1)
        case "sample":
            return least


def stratified_timesteps(count: int, num_timesteps: int, device: torch.device | None = None) -> Tensor:
    """(count,) int64 timesteps, one from each of `count` equal parts of 0 .. T-1, shuffled: the estimate over t of
    equation (3) varies less than with independent ones, and has the same expectation."""
    u = (torch.arange(count, device=device) + torch.rand(count, device=device)) / count
    t = (u * num_timesteps).long().clamp_max(num_timesteps - 1)
    return t[torch.randperm(count, device=device)]
