"""An attack on a text-to-image model: words are sought that, put before a prompt, make it draw what it was to forget.

Zhang et al., "To Generate or Not? Safety-Driven Unlearned Diffusion Models Are Still Easy To Generate Unsafe Images
... For Now", ECCV 2024 (UnlearnDiffAtk).

The model is its own classifier: the attack minimises E |e - e_theta(x_t, t, [c', c])|^2 over k tokens c' before the
prompt c, for pictures x of what was to be forgotten. A place of the prefix is a mixture of all tokens. The model is
told the likeliest token of each (`tokens`, a prompt that can be typed; gradients go straight through to the mixture,
where the authors draw a token), the mixture itself (`simplex`), or any input embedding (`free`, the strongest).
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.attacks.class_prompt import onto_simplex
from lit_unlearn.attacks.denoising import drawn_loss
from lit_unlearn.networks.denoiser import Noise
from lit_unlearn.networks.prompts import PromptEncoder
from lit_unlearn.networks.text_to_image import TextToImage, TextTrained

Kind = Literal["tokens", "simplex", "free"]


@torch.enable_grad()
def optimised_prefix(
    network: TextToImage,
    prompts: PromptEncoder,
    noise: Noise,
    x: Tensor,
    row: int,
    kind: Kind,
    length: int,
    steps: int,
    seed: int,
    learning_rate: float = 0.01,
    batch_size: int = 64,
) -> TextToImage:
    """The attacked model: the network with a prefix before the prompt `row`; its weights stay.

    Args:
        network: in eval mode.
        prompts: its text encoder, and the prompts.
        noise: of the model.
        x: (N, C, H, W) latents of pictures of what was to be forgotten.
        row: number of the prompt.
        kind: what is optimised.
        length: k; what no longer fits into the text encoder is cut off at the prompt's end.
        steps: of Adam, with a weight decay of 0.1 on mixtures.
        seed: draws the first prefix, pictures, timesteps and noise.
        learning_rate, batch_size: of Adam.
    """
    table = prompts.token_embedding.weight.detach()
    generator = torch.Generator().manual_seed(seed)
    variable = torch.rand(length, len(table), generator=generator).to(table)
    variable = torch.stack([onto_simplex(place) for place in variable])
    if kind == "free":
        variable = table[variable.argmax(1)].clone()
    variable.requires_grad_(True)
    optimiser = torch.optim.AdamW([variable], learning_rate, weight_decay=0.0 if kind == "free" else 0.1)

    def prefix() -> Tensor:
        if kind == "free":
            return variable
        if kind == "simplex":
            return variable @ table
        chosen = F.one_hot(variable.argmax(1), len(table)).to(variable)
        return (chosen + variable - variable.detach()) @ table

    def predict(xt: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        told = prompts(torch.full((1,), row, device=xt.device), prefix())
        return network.unet(xt, t, encoder_hidden_states=told.expand(len(xt), -1, -1)).sample

    for _ in range(steps):
        (variable.grad,) = torch.autograd.grad(drawn_loss(predict, noise, x, batch_size, generator), [variable])
        optimiser.step()
        if kind != "free":
            variable.data.copy_(torch.stack([onto_simplex(place) for place in variable.data]))
    with torch.no_grad():
        rows = torch.arange(len(prompts.ids), device=x.device)
        told = network.hear(rows) if isinstance(network, TextTrained) else network.told.clone()
        told[row] = prompts(rows[row : row + 1], prefix())[0]
    return TextToImage(network.unet, told).eval()
