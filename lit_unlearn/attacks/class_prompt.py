"""An attack on a class-conditional diffusion model: another "class" is sought that makes it draw the forgotten one.

Zhang et al., "To Generate or Not? Safety-Driven Unlearned Diffusion Models Are Still Easy To Generate Unsafe Images
... For Now", ECCV 2024 (UnlearnDiffAtk).

The model is its own classifier: the attack minimises E |e - e_theta(x_t, t, c')|^2 over c' for pictures x of the
forgotten class. Here c' replaces the class embedding: a mixture of all the model's class embeddings (`simplex`, the
authors' form, whose mixtures are of tokens), or any vector of that length (`free`, the stronger one).
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lit_unlearn.attacks.denoising import drawn_loss
from lit_unlearn.networks.denoiser import Noise


def onto_simplex(v: Tensor) -> Tensor:
    """The nearest point to (N,) numbers among those that are not negative and add up to 1 (Duchi et al., 2008)."""
    falling = v.sort(descending=True).values
    excess = (falling.cumsum(0) - 1) / torch.arange(1, len(v) + 1, device=v.device)
    last = int((falling > excess).sum()) - 1
    return (v - excess[last]).clamp_min(0)


class PromptedUNet(nn.Module):
    """A class-conditional U-Net in which one class has another embedding.

    Args:
        unet: diffusers' UNet2DModel.
        row: number of the class.
        embedding: (d,) its embedding.
    """

    def __init__(self, unet: nn.Module, row: int, embedding: Tensor):
        super().__init__()
        self.unet, self.row = unet, row
        self.register_buffer("embedding", embedding)
        self.config: Any = unet.config

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor) -> Any:
        return _with_row(self.unet, self.row, self.embedding, x, t, class_labels)


def _with_row(unet: Any, row: int, embedding: Any, x: Tensor, t: Tensor, class_labels: Tensor) -> Any:
    table = unet.class_embedding.weight.detach()
    here = torch.arange(len(table), device=table.device)[:, None] == row
    changed = {"class_embedding.weight": torch.where(here, embedding, table)}
    return functional_call(unet, changed, (x, t), {"class_labels": class_labels})


@torch.enable_grad()
def optimised_prompt(
    unet: Any,
    noise: Noise,
    x: Tensor,
    row: int,
    kind: Literal["simplex", "free"],
    steps: int,
    seed: int,
    learning_rate: float = 0.01,
    batch_size: int = 64,
) -> PromptedUNet:
    """The attacked model: `unet` with an optimised embedding for the class `row`; its weights stay.

    Args:
        unet: class-conditional, in eval mode.
        noise: of the model.
        x: (N, C, H, W) pictures of the forgotten class.
        row: its number; the attack starts from its embedding.
        kind: what is optimised.
        steps: of Adam, with a weight decay of 0.1 on a simplex.
        seed: draws pictures, timesteps and noise.
        learning_rate, batch_size: of Adam.
    """
    table = unet.class_embedding.weight.detach()
    variable = (torch.eye(len(table), device=table.device)[row] if kind == "simplex" else table[row]).clone()
    variable.requires_grad_(True)
    decay = 0.1 if kind == "simplex" else 0.0
    optimiser = torch.optim.AdamW([variable], learning_rate, weight_decay=decay)
    generator = torch.Generator().manual_seed(seed)
    asked = torch.full((batch_size,), row, device=x.device)

    def predict(xt: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        embedding = variable @ table if kind == "simplex" else variable
        return _with_row(unet, row, embedding, xt, t, asked).sample

    for _ in range(steps):
        (variable.grad,) = torch.autograd.grad(drawn_loss(predict, noise, x, batch_size, generator), [variable])
        optimiser.step()
        if kind == "simplex":
            variable.data.copy_(onto_simplex(variable.data))
    found = variable.detach()
    return PromptedUNet(unet, row, found @ table if kind == "simplex" else found)
