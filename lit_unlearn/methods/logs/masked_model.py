"""A masked language model of log lines: the part that `mean_log_likelihood` and `log_bert` share.

Equation: L = E[ -log p(x_i | x_masked) ], (1) of `lit_unlearn.losses.replaced_tokens`.
"""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.logs.batches import MASK, PAD, LineBatch, counted
from lit_unlearn.losses.replaced_tokens import masked_positions, masked_token_loss
from lit_unlearn.methods.logs.base import NetworkLogDetector
from lit_unlearn.networks.electra import TokenGenerator, electra_config

TOKENS_AT_ONCE = 16384
"""Tokens in a pass of scoring; bounds the memory, since a line of N tokens becomes N masked lines."""


class MaskedModel(NetworkLogDetector):
    """Predicts masked tokens; a subclass defines `token_scores`, and a line's score is their mean over its tokens.

    Args:
        vocab_size, max_length: come from the data.
        hidden, layers: of the model.
        dropout: in it.
        mask_share: share of a line's tokens that is masked in training.
        optimiser: see `NetworkLogDetector`.
    """

    def __init__(
        self,
        vocab_size: int,
        max_length: int,
        hidden: Annotated[int, Field(ge=8)] = 512,
        layers: Annotated[int, Field(ge=1)] = 6,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15,
        **optimiser,
    ):
        super().__init__(**optimiser)
        self.model = TokenGenerator(electra_config(vocab_size, max_length, hidden, layers, dropout=dropout))
        self.mask_share = mask_share

    def objective(self, batch: LineBatch) -> Tensor:
        """The loss of the unlabeled lines at their masked tokens."""
        return self.predict_masked(batch)[0]

    def predict_masked(self, batch: LineBatch) -> tuple[Tensor, Tensor]:
        """() loss at masked tokens of the unlabeled lines, and (U, H) representations of their first tokens."""
        tokens = batch.tokens[~batch.labelled]
        masked = masked_positions(counted(tokens), self.mask_share)
        logits, first = self.model(tokens.masked_fill(masked, MASK), tokens != PAD, masked)
        return masked_token_loss(logits, tokens[masked]), first

    def line_scores(self, batch: LineBatch) -> Tensor:
        """(B,) mean of `token_scores` over the counted tokens."""
        return self.token_scores(batch.tokens).sum(1) / counted(batch.tokens).sum(1).clamp(min=1)

    def token_scores(self, tokens: Tensor) -> Tensor:
        """(B, T) scores of the tokens, 0 at what is not counted."""
        wide = torch.promote_types(next(self.model.parameters()).dtype, torch.float32)
        scores = torch.zeros(tokens.shape, dtype=wide, device=tokens.device)
        for lines, places, logits in self.masked_one_by_one(tokens):
            scores[lines, places] = self.surprise(logits.to(wide), tokens[lines, places])
        return scores

    def surprise(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """(M,) scores of (M,) tokens under (M, V) logits made without them."""
        raise NotImplementedError

    def masked_one_by_one(self, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Line numbers, places and (M, V) logits of the counted tokens, each masked by itself; some at a time."""
        at_once = max(1, TOKENS_AT_ONCE // tokens.shape[1])
        line, place = counted(tokens).nonzero(as_tuple=True)
        for lines, places in zip(line.split(at_once), place.split(at_once), strict=True):
            asked = torch.zeros(len(lines), tokens.shape[1], dtype=torch.bool, device=tokens.device)
            asked[torch.arange(len(lines), device=tokens.device), places] = True
            own = tokens[lines]
            logits, _ = self.model(own.masked_fill(asked, MASK), own != PAD, asked)
            yield lines, places, logits
