"""Which weights of a text-to-image U-Net are trained: a subset by name, or low-rank additions to attention layers.

Gandikota et al., "Erasing Concepts from Diffusion Models", ICCV 2023 (the subsets); Hu et al., "LoRA", ICLR 2022.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from lit_unlearn.errors import UserError

Part = Literal["all", "class_embedding", "esd-x", "esd-x-strict", "esd-u"]
"""All weights; the class embedding (of class-conditional U-Nets); cross-attention; its key and value maps; all but
cross-attention."""

ATTENTION_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")
"""The layers of attention, self and cross, that additions usually go to."""


def belongs(name: str, part: Part) -> bool:
    """Whether the weight of that name is of the part."""
    crossing = ".attn2." in name
    match part:
        case "all":
            return True
        case "class_embedding":
            return name.startswith("class_embedding.")
        case "esd-x":
            return crossing
        case "esd-x-strict":
            return crossing and (".to_k." in name or ".to_v." in name)
        case "esd-u":
            return not crossing


def train_part(network: nn.Module, part: Part) -> None:
    """Of the weights that are trained, leaves only those of the part.

    Raises:
        UserError: none is left.
    """
    trained = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    if not any(belongs(name, part) for name, _ in trained):
        kind = type(getattr(network, "unet", network)).__name__
        raise UserError(
            f"method.trained={part}: matches none of the weights that are trained of this {kind}; esd-x, esd-x-strict "
            "and esd-u are for models that are told prompts, class_embedding is for those that are told classes"
        )
    for name, weight in trained:
        weight.requires_grad_(belongs(name, part))


def add_lora(unet: nn.Module, rank: int, alpha: float, layers: Sequence[str], seed: int) -> None:
    """Adds trained low-rank matrices to layers, in place; all else is no longer trained. They add nothing at first.

    Args:
        rank: of the matrices.
        alpha: they are scaled with alpha / rank.
        layers: ends of the layers' names.
        seed: draws the matrices that do not start at zero.

    Raises:
        UserError: there is no layer of such a name.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, module in unet.named_modules() if isinstance(module, nn.Linear)]
    absent = [layer for layer in layers if not any(name.endswith(f".{layer}") for name in names)]
    if absent or not layers:
        ends = sorted({layer for layer in ATTENTION_LAYERS if any(name.endswith(f".{layer}") for name in names)})
        raise UserError(
            f"model.lora_layers={list(layers)}: the unet has no linear layer whose name ends in "
            f"{absent[0] if absent else 'nothing'}; usual ones are {', '.join(ends)}"
        )
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(layers), lora_dropout=0.0)  # type: ignore[arg-type]
    unet.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, unet)
