"""Causal language models of transformers: loaded, their blocks found, and run only as far as a layer."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BODIES = (("model", "layers", "norm"), ("transformer", "h", "ln_f"), ("gpt_neox", "layers", "final_layer_norm"))
"""Where families of models keep their stack: Llama, Gemma, Qwen, Mistral, OLMo; GPT-2; Pythia."""

LOGITS_AT_ONCE = 2**27
"""Half a GiB of float32: what large vocabularies reach first."""


def load_causal_lm(path: str) -> "PreTrainedModel":
    """A language model in float32 and eval mode.

    Args:
        path: a folder with safetensors, a FILE.gguf, or a name on the hub. Quantised weights of GGUF are widened once:
            what is trained and saved is a model like others.

    Raises:
        UserError: there is no such model, or it is none of these, or GGUF cannot be read here.
    """
    from transformers import AutoModelForCausalLM, logging
    from transformers.utils import is_gguf_available

    logging.disable_progress_bar()
    where, options = _source(path)
    if options and not is_gguf_available():
        raise UserError(f"model.path={path}: GGUF is read with the package gguf, which is absent; pip install gguf")
    try:
        model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        raise UserError(_unusable(path, error)) from error
    if options:
        _forget_quantisation(model)
    return model.eval()


def _forget_quantisation(model: Any) -> None:
    """Without this a model that was read from GGUF is taken for a quantised one, and cannot be saved or trained."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None


def small_llama(vocab_size: int, hidden: int, layers: int, heads: int, feed_forward: int) -> "PreTrainedModel":
    """A language model of Llama's architecture with random weights and tied embeddings, in train mode.

    Raises:
        UserError: `hidden` cannot be divided by twice `heads` (rotary positions turn pairs).
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    if hidden % (2 * heads):
        raise UserError(f"method.hidden={hidden}: not a multiple of twice method.heads={heads}; change one of them")
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def rows_at_once(width: int, vocab_size: int, most: int) -> int:
    """How many rows of `width` tokens go through a language model at once, so that their logits fit into memory."""
    return max(1, min(most, LOGITS_AT_ONCE // (width * vocab_size)))


def logits_from(model: nn.Module, tokens: Tensor, start: int) -> Tensor:
    """(B, T) tokens to the (B, T - start, V) logits at the columns from `start` on.

    In small models with large vocabularies logits are most of the work, and those of a prompt are not needed.
    """
    return model(tokens, use_cache=False, logits_to_keep=tokens.shape[1] - start).logits


def _source(path: str) -> tuple[str, dict[str, Any]]:
    file = Path(path)
    if file.suffix == ".gguf":
        return str(file.parent), {"gguf_file": file.name}
    return path, {}


def _unusable(path: str, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return (
        f"model.path={path}: no language model can be read there ({reason}); "
        "give a folder with safetensors, a FILE.gguf or a name on the Hugging Face hub"
    )


def _body(model: nn.Module) -> tuple[nn.Module, str, str]:
    for body, layers, norm in BODIES:
        if hasattr(model, body) and hasattr(getattr(model, body), layers):
            return getattr(model, body), layers, norm
    families = ", ".join(f"{body}.{layers}" for body, layers, _ in BODIES)
    raise UserError(f"{type(model).__name__}: its blocks are not where they are looked for ({families})")


def blocks(model: nn.Module) -> nn.ModuleList:
    """The blocks of a language model, first to last.

    Raises:
        UserError: a family of models that is not known here.
    """
    body, layers, _ = _body(model)
    return getattr(body, layers)


@contextmanager
def block_outputs(model: nn.Module, layers: Iterable[int]) -> Iterator[dict[int, Tensor]]:
    """What some blocks give in whatever the model computes meanwhile: their residual streams cost no second pass.

    Yields:
        by layer, the (B, T, d) residual stream after the block, as `TruncatedLM` gives it; filled by a forward pass.
    """
    outputs: dict[int, Tensor] = {}

    def keep(layer: int, output: Tensor | tuple[Tensor, ...]) -> None:
        outputs[layer] = output if isinstance(output, Tensor) else output[0]

    hooks = [
        blocks(model)[layer].register_forward_hook(lambda _, given, output, layer=layer: keep(layer, output))
        for layer in layers
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


class TruncatedLM:
    """A language model up to and including one block, with the same parameters: nothing beyond it is computed.

    Not a module, so that it adds neither names to a state dict nor parameters to an optimiser.
    """

    def __init__(self, model: nn.Module, layer: int):
        """
        Raises:
            UserError: the model has no such block.
        """
        body, layers, norm = _body(model)
        count = len(getattr(body, layers))
        if not 0 <= layer < count:
            raise UserError(f"model.layer={layer}: the model has blocks 0 to {count - 1}")
        self.body = copy.copy(body)
        # A copy of the table of submodules, not of the submodules.
        self.body._modules = dict(body._modules)
        self.body._modules[layers] = getattr(body, layers)[: layer + 1]
        self.body._modules[norm] = nn.Identity()
        self.body.config = copy.copy(body.config)
        self.body.config.num_hidden_layers = layer + 1  # type: ignore[union-attr]

    def __call__(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """(B, T) tokens to (B, T, d), the residual stream after the block (`hidden_states[layer + 1]`)."""
        return self.body(tokens, position_ids=positions, use_cache=False).last_hidden_state
