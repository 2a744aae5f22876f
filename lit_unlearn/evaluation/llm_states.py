"""The states of a language model where it has read an entity and where it has read a question, and their SAE codes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from datamodules.llm.batches import IGNORED, TextBatch
from datamodules.llm.items import EncodedItems
from lit_unlearn.networks.causal_lm import TruncatedLM, blocks

if TYPE_CHECKING:
    from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder

ROWS_AT_ONCE = 256

Spaces = dict[str, Tensor]
"""By name, (N, d) float32 on the CPU: `raw` states after the layer the autoencoders read and `raw_block<i>` after
others, at the entity's last token; codes `sae` and `heldout_sae` of `raw`; each again with `_end` at the end of the
prompt."""


def space_name(layer: int, home: int | None) -> str:
    """Of the states after a block; `home` is the block the autoencoders read."""
    return "raw" if layer == home else f"raw_block{layer}"


@torch.no_grad()
def spaces(
    model: Any,
    items: EncodedItems,
    layers: Sequence[int],
    home: int | None,
    autoencoders: Mapping[str, "SparseAutoencoder"],
) -> Spaces:
    """What a model thinks while it reads, from one pass over each item.

    Args:
        model: a causal language model of transformers, in eval mode.
        items: each names an entity.
        layers: blocks, rising.
        home: the block the autoencoders read, one of `layers`; None where there are none.
        autoencoders: by the name their codes shall have, on the model's device.
    """
    found: dict[str, list[Tensor]] = {}
    for rows in torch.arange(len(items)).split(ROWS_AT_ONCE):
        batch = items.batch(rows)
        prompts = batch.tokens[:, : int(batch.prompt_end.max()) + 1].to(model.device)
        for layer, states in _after_blocks(model, prompts, layers).items():
            for suffix, where in (("", batch.entity_end), ("_end", batch.prompt_end)):
                read = states[torch.arange(len(rows)), where].float()
                found.setdefault(space_name(layer, home) + suffix, []).append(read.cpu())
                for name, autoencoder in autoencoders.items() if layer == home else ():
                    found.setdefault(name + suffix, []).append(autoencoder.encode(read).cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def _after_blocks(model: nn.Module, tokens: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
    """(B, T, d) residual stream after each of the blocks; what follows the last of them is not computed."""
    found: dict[int, Tensor] = {}

    def keep(layer: int):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            found[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [blocks(model)[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        TruncatedLM(model, layers[-1])(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.no_grad()
def text_codes(model: Any, text: TextBatch, home: int, autoencoder: "SparseAutoencoder") -> Tensor:
    """(M, d_sae) codes of the tokens of packed documents, without padding and first tokens, on the CPU."""
    truncated, found = TruncatedLM(model, home), []
    for rows in torch.arange(len(text.tokens)).split(ROWS_AT_ONCE):
        tokens, labels, positions = (part[rows].to(model.device) for part in text)
        states = truncated(tokens, positions)[labels != IGNORED]
        found.append(autoencoder.encode(states.float()).cpu())
    return torch.cat(found)
