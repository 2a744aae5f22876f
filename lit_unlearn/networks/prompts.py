"""The text side of a text-to-image pipeline: a fixed list of prompts, and what the text encoder makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_unlearn.errors import UserError


class PromptEncoder(nn.Module):
    """A CLIP text encoder and the prompts that it is asked about, by number.

    Args:
        text_encoder: transformers' CLIPTextModel.
        ids: (P, L) int64 tokens of the prompts, padded.
        end: number of the token that ends a text.
    """

    ids: Tensor

    def __init__(self, text_encoder: nn.Module, ids: Tensor, end: int):
        super().__init__()
        self.text_encoder, self.end = text_encoder, end
        self.register_buffer("ids", ids, persistent=False)

    @property
    def token_embedding(self) -> nn.Embedding:
        return self.text_encoder.get_input_embeddings()  # type: ignore[operator]

    def forward(self, rows: Tensor, prefix: Tensor | None = None) -> Tensor:
        """(B, L, D) what the U-Net is told for prompts; each is encoded once, however often it is asked for.

        Args:
            rows: (B,) int64 numbers of prompts.
            prefix: (k, D) input embeddings that are put before the prompts, behind the token that begins a text; what
                no longer fits is cut off.
        """
        found, places = rows.unique(return_inverse=True)
        ids = self.ids[found]
        if prefix is None:
            return self.text_encoder(ids)[0][places]
        ids = with_room(ids, len(prefix), self.end)

        def put(module: nn.Module, given: Any, embedded: Tensor) -> Tensor:
            before = prefix.to(embedded).expand(len(embedded), -1, -1)
            return torch.cat([embedded[:, :1], before, embedded[:, 1 + len(prefix) :]], 1)

        handle = self.token_embedding.register_forward_hook(put)
        try:
            return self.text_encoder(ids)[0][places]
        finally:
            handle.remove()


def with_room(ids: Tensor, count: int, end: int) -> Tensor:
    """(P, L) tokens with `count` places between the first and the others, of the same length; texts keep their end."""
    room = ids[:, :1].expand(-1, count)
    moved = torch.cat([ids[:, :1], room, ids[:, 1:]], 1)[:, : ids.shape[1]].clone()
    endless = ~(moved == end).any(1)
    moved[endless, -1] = end
    return moved


def read_prompt_encoder(folder: Path, prompts: Sequence[str], name: str) -> PromptEncoder:
    """The text encoder of a pipeline folder in float32, in eval mode without gradients, and tokens of prompts.

    Args:
        folder: of the pipeline.
        prompts: the empty one among them is what a picture without a prompt is told.
        name: of the pipeline in error messages.

    Raises:
        UserError: text encoder or tokenizer cannot be read, or a prompt is too long: nothing is cut off silently.
    """
    import transformers

    transformers.logging.disable_progress_bar()
    try:
        encoder: Any = transformers.CLIPTextModel.from_pretrained(
            folder / "text_encoder", dtype=torch.float32, use_safetensors=True
        )
        tokenizer: Any = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: its text encoder or its tokenizer cannot be read ({reason})") from error
    longest = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    for prompt in prompts:
        count = len(tokenizer(prompt, verbose=False).input_ids)
        if count > longest:
            raise UserError(
                f"prompt {prompt!r}: {count} tokens, the text encoder of {name} takes {longest}; shorten it"
            )
    ids = tokenizer(list(prompts), padding="max_length", max_length=longest, return_tensors="pt").input_ids
    return PromptEncoder(encoder.eval().requires_grad_(False), ids, tokenizer.eos_token_id)
