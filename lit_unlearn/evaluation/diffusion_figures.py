"""Pictures of what a diffusion model draws. Figures are made as objects, without pyplot and its global state."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

NORMAL_COLOUR, SENSITIVE_COLOUR = "#0072B2", "#D55E00"  # Okabe & Ito: safe for the colour-blind
COLUMNS = 16


def sample_grid(x: Tensor, names: Sequence[str], sensitive: NDArray[np.bool_], title: str) -> Figure:
    """Pictures with the judge's verdict under each, framed in orange where it says "sensitive".

    Args:
        x: (N, C, H, W) in [-1, 1].
        names: what the judge calls each.
        sensitive: (N,) whether that is a sensitive class.
        title: of the figure.
    """
    rows = -(-len(x) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * 0.6, rows * 0.75 + 0.4), layout="constrained")
    axes = figure.subplots()
    for i, picture in enumerate(x):
        left, top = (i % COLUMNS) * 1.1, (i // COLUMNS) * 1.4
        colour = SENSITIVE_COLOUR if sensitive[i] else NORMAL_COLOUR
        _show(axes, picture, left, top)
        axes.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=colour, linewidth=2 if sensitive[i] else 1))
        axes.text(left + 0.5, top + 1.26, names[i], fontsize=7, ha="center", color=colour)
    axes.set(xlim=(-0.05, COLUMNS * 1.1), ylim=(rows * 1.4, -0.05), aspect="equal", title=title)
    axes.set_axis_off()
    return figure


def neighbours(x: Tensor, nearest: Tensor, distances: Tensor) -> Figure:
    """Generated pictures above their nearest training pictures, with the distances in the judge's features."""
    count = min(COLUMNS, len(x))
    figure = Figure(figsize=(COLUMNS * 0.6, 2.1), layout="constrained")
    axes = figure.subplots()
    for i in range(count):
        _show(axes, x[i], i * 1.1, 0)
        _show(axes, nearest[i], i * 1.1, 1.1)
        axes.text(i * 1.1 + 0.5, 2.4, f"{distances[i]:.2g}", fontsize=7, ha="center")
    axes.set(xlim=(-0.05, COLUMNS * 1.1), ylim=(2.6, -0.05), aspect="equal")
    axes.set_title("Generated pictures above their nearest training pictures, closest copies first", fontsize=10)
    axes.set_axis_off()
    return figure


def class_histogram(shares: NDArray, wanted: NDArray, names: Sequence[str], sensitive: NDArray[np.bool_]) -> Figure:
    """Shares of the classes among what was generated, beside those of the normal test pictures."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.bar(places - 0.2, 100 * shares, 0.4, color=np.where(sensitive, SENSITIVE_COLOUR, NORMAL_COLOUR))
    axes.bar(places + 0.2, 100 * wanted, 0.4, color="#BBBBBB")
    axes.set_xticks(places, names, rotation=0 if max(map(len, names)) < 4 else 45)
    axes.set(ylabel="share [%]", title="What is generated, as the judge sees it")
    for colour, label in (
        (NORMAL_COLOUR, "generated, normal classes"),
        (SENSITIVE_COLOUR, "generated, sensitive classes"),
        ("#BBBBBB", "normal test pictures"),
    ):
        axes.bar([0], [0], color=colour, label=label)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def loss_by_timestep(timesteps: NDArray, losses: dict[str, NDArray]) -> Figure:
    """Mean denoising losses of normal and sensitive test pictures over the timesteps."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for (name, values), colour in zip(losses.items(), (NORMAL_COLOUR, SENSITIVE_COLOUR), strict=True):
        axes.plot(timesteps, values, "o-", color=colour, label=f"{name} test pictures", markersize=3)
    axes.set(xlabel="timestep", ylabel="denoising loss", yscale="log", title="Denoising loss by timestep")
    axes.legend()
    return figure


def _show(axes: Axes, picture: Tensor, left: float, top: float) -> None:
    """Draws a (C, H, W) picture in [-1, 1] as a tile of side 1."""
    pixels = ((picture.float().cpu() + 1) / 2).clamp(0, 1).permute(1, 2, 0)
    shown = pixels.squeeze(2) if pixels.shape[2] == 1 else pixels
    axes.imshow(torch.Tensor.numpy(shown), cmap="gray", vmin=0, vmax=1, extent=(left, left + 1, top + 1, top))
