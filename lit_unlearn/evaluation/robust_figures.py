"""Pictures of attacks: how accuracy falls with eps, and what the attacked pictures look like."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from lit_unlearn.attacks.ball import Ball
from lit_unlearn.attacks.gradient import Attacked

COLUMNS = 10
COLOURS = {"best": "#0072B2", "last": "#E69F00"}  # Okabe & Ito: safe for the colour-blind
RIGHT, WRONG = "#009E73", "#D55E00"


def curve(points: Mapping[str, Sequence[tuple[float, float]]], ball: Ball) -> Figure:
    """Accuracy under PGD-20 by the size of the ball.

    Args:
        points: (eps, accuracy) of each checkpoint.
        ball: the one that was trained with.
    """
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, pairs) in enumerate(points.items()):
        eps, shares = [eps for eps, _ in pairs], [100 * share for _, share in pairs]
        colour = COLOURS.get(name, "#000000")
        axes.plot(eps, shares, ("o-", "s--")[number % 2], color=colour, label=f"{name} checkpoint")
    axes.axvline(ball.eps, color="grey", linestyle=":", label=f"eps of training, {ball.eps:.3g}")
    axes.set(xlabel=f"eps ({ball.norm}, of pictures in [0, 1])", ylabel="accuracy under PGD-20 [%]", ylim=(-2, 102))
    axes.set_title("Accuracy by the strength of the attack")
    axes.legend()
    return figure


def attacks(
    x: Tensor, attacked: Attacked, clean: Tensor, network: nn.Module, y: Tensor, class_names: Sequence[str]
) -> Figure:
    """Test pictures, what PGD-20 made of them, and the change: first some that it broke, then some that stand.

    Args:
        x: (N, C, H, W) in [0, 1]; y: (N,).
        attacked: of them.
        clean: (N,) classes that the network gives them.
        network: in eval mode.
        class_names: of the classes.
    """
    x, clean = x.cpu(), clean.cpu()
    standing, perturbed = attacked.standing.cpu(), attacked.x.cpu()
    broken = ((clean == y) & ~standing).nonzero().flatten()[: COLUMNS // 2]
    chosen = torch.cat([broken, standing.nonzero().flatten()[: COLUMNS - len(broken)]])
    figure = Figure(figsize=(COLUMNS * 0.9, 3.6), layout="constrained")
    figure.suptitle("Test pictures, what PGD-20 makes of them, and the change: broken ones first")
    if len(chosen) == 0:
        return figure
    grid = figure.subplots(3, COLUMNS, squeeze=False)
    with torch.no_grad():
        says = network(perturbed[chosen].to(next(network.parameters()).device)).argmax(1).cpu()
    for axes in grid.flat:
        axes.set_axis_off()
    for column, row in enumerate(chosen.tolist()):
        change = perturbed[row] - x[row]
        scale = 2 * float(change.abs().max().clamp_min(1e-6))
        _show(grid[0, column], x[row], class_names[int(clean[row])], bool(clean[row] == y[row]))
        _show(grid[1, column], perturbed[row], class_names[int(says[column])], bool(says[column] == y[row]))
        _show(grid[2, column], change / scale + 0.5, "", True)
    return figure


def _show(axes: Axes, picture: Tensor, caption: str, right: bool) -> None:
    pixels = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    axes.imshow(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=1)
    axes.set_title(caption, fontsize=8, color=RIGHT if right else WRONG, pad=2)
