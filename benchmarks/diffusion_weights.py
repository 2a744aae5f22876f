"""The figure of docs/diffusion.md that explains the readings of the PU loss: loss and gradient weight by timestep.

    python benchmarks/diffusion_weights.py CHECKPOINT       of a run of method=unsupervised_diffusion

Left: the denoising loss of normal and of sensitive test pictures. Right: how much a sample of S weighs in the gradient
of the PU loss, in units of beta: 1 / (1 - exp(-l)), for a pixel mean, a mean times 10 and a pixel sum, and for the
stabilised form, which is zero outside its range of timesteps.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lit_unlearn import checkpoint
from lit_unlearn.evaluation.diffusion import GRID, denoising_losses
from lit_unlearn.losses.pu_diffusion import sensitive_gradient_weight

SCALES = {"pixel mean": 1, "mean x 10": 10, "pixel sum": None}
RANGE = (100, 600)


def main(path: str) -> None:
    method, _ = checkpoint.load_method(path)
    data = checkpoint.load_data(path)
    data.setup()
    losses = denoising_losses(method, data)  # type: ignore[arg-type]
    t = GRID * method.num_timesteps  # type: ignore[operator]
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, values), colour in zip(losses.items(), ("#0072B2", "#D55E00"), strict=True):
        left.plot(t, values.mean(1), "o-", color=colour, markersize=3, label=f"{name} test pictures")
    left.set(xlabel="timestep", ylabel="denoising loss (pixel mean)", yscale="log", title="Loss")
    left.legend()
    pixels = int(np.prod(data.input_shape))  # type: ignore[attr-defined]
    for (name, scale), colour in zip(SCALES.items(), ("#CC79A7", "#009E73", "#000000"), strict=True):
        weights = sensitive_gradient_weight((scale or pixels) * losses["sensitive"], 1.0).mean(1)
        right.plot(t, weights, "o-", color=colour, markersize=3, label=name)
        if name == "mean x 10":
            held = np.where((t >= RANGE[0]) & (t < RANGE[1]), weights, 0)
            right.plot(t, held, "--", color=colour, label="stabilised: mean x 10, timesteps 100 to 600")
    right.set(xlabel="timestep", ylabel="weight of a sample of S / beta", title="Gradient weight")
    right.set_yscale("symlog", linthresh=1)
    right.legend(fontsize=8)
    out = Path(__file__).parent.parent / "docs" / "images" / "diffusion_weights.png"
    figure.savefig(out, dpi=100)
    print(out)


if __name__ == "__main__":
    main(sys.argv[1])
