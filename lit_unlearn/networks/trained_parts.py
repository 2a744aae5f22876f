"""Which parameters of a language model are trained: whole weights by block and name, or low-rank additions to them."""

import copy
import re
from typing import Any

from torch import nn

from lit_unlearn.errors import UserError
from lit_unlearn.networks.causal_lm import blocks


def train_only(model: nn.Module, pattern: str, last_block: int, rank: int | None, alpha: float) -> None:
    """Leaves gradients to what is to be trained, and to nothing else.

    Args:
        model: a causal language model; with `rank`, the linear layers concerned get additions in place.
        pattern: regular expression; only parameters with a match in their name count.
        last_block: parameters of the blocks 0 to this one count.
        rank: of low-rank additions (LoRA, Hu et al., arXiv 2106.09685), or None to train the weights themselves.
        alpha: the additions are scaled with alpha / rank.

    Raises:
        UserError: nothing is left to train, there is no such block, or the pattern is no regular expression.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UserError(f"method.modules={pattern!r}: no regular expression ({error})") from error
    if last_block >= len(blocks(model)):
        raise UserError(f"method.last_block={last_block}: the model has blocks 0 to {len(blocks(model)) - 1}")
    within = {id(weight) for block in blocks(model)[: last_block + 1] for weight in block.parameters()}
    chosen = [name for name, weight in model.named_parameters() if id(weight) in within and wanted.search(name)]
    if rank is not None:
        chosen = [name for name in chosen if model.get_parameter(name).ndim == 2]
    if not chosen:
        names = ", ".join(name for name, _ in blocks(model)[0].named_parameters())
        raise UserError(
            f"method.modules={pattern!r}: matches no parameter of blocks 0 to {last_block}; "
            f"those of a block are {names}"
        )
    model.requires_grad_(False)
    if rank is None:
        for name in chosen:
            model.get_parameter(name).requires_grad_(True)
        return
    from peft import LoraConfig, inject_adapter_in_model

    layers = [name.removesuffix(".weight") for name in chosen]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers, lora_dropout=0.0), model)  # type: ignore[arg-type]


def merge_lora(model: Any) -> Any:
    """The model with its additions worked into plain weights, as a copy; itself where it has none."""
    from peft.tuners.lora import LoraLayer

    if not any(isinstance(module, LoraLayer) for module in model.modules()):
        return model
    merged = copy.deepcopy(model)
    for name, module in list(merged.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)  # type: ignore[attr-defined]
            parent, _, child = name.rpartition(".")
            setattr(merged.get_submodule(parent), child, module.get_base_layer())
    return merged
