"""DATE: the corrupted line also tells which of a few fixed patterns of masks was laid over it.

Manolache, Brad, Burceanu, "DATE: Detecting Anomalies in Text via Self-Supervision of Transformers", NAACL 2021; values
of the code in the authors' repository bit-ml/date are the defaults where they differ from LogELECTRA's.

Idea: LogELECTRA's parent. A mask is one of K patterns drawn once; a second head on the first token tells which
(replaced mask detection, RMD), which asks for the line as a whole. A random generator often serves as well as a
learned one.

Equations implemented, with K patterns m^(1..K) and x~ the corrupted line:

    (1)  L = mu L_RMD + L_G + lambda L_D
    (2)  L_RMD = E[ -log P_M(m | x~) ]
    L_G, L_D: (1) and (3) of `lit_unlearn.losses.replaced_tokens`; a random generator has no L_G
    (3)  score(x) = 1 - (1/N) sum_i (1 - D(x_i)), the mean probability of "replaced"

Deviations: L_D counts as replaced what differs from the original (the code's mask m counts a token that was masked and
filled with itself as replaced); [CLS] and [SEP] are not counted; optimiser and schedule are those of our LogELECTRA.
Patterns that mask nothing of a short line mask one token of it.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=date
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from datamodules.logs.batches import MASK, PAD, LineBatch, counted
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.losses.replaced_tokens import fill, line_probability, masked_token_loss, replaced_token_loss
from lit_unlearn.methods.logs.base import NetworkLogDetector
from lit_unlearn.networks.electra import TokenDiscriminator, TokenGenerator, electra_config


class DATE(NetworkLogDetector):
    """DATE on log lines.

    Args:
        vocab_size, max_length: come from the data.
        hidden, layers: of the discriminator.
        generator: `random` tokens, or `learned`.
        generator_hidden, generator_layers: of a learned generator.
        dropout: in both.
        num_patterns: K.
        mask_share: share of the positions that a pattern masks.
        pattern_weight: mu in equation (1).
        discriminator_weight: lambda in equation (1).
        optimiser: see `NetworkLogDetector`.
    """

    patterns: Tensor

    def __init__(
        self,
        vocab_size: int,
        max_length: int,
        hidden: Annotated[int, Field(ge=8)] = 256,
        layers: Annotated[int, Field(ge=1)] = 4,
        generator: Literal["random", "learned"] = "random",
        generator_hidden: Annotated[int, Field(ge=8)] = 64,
        generator_layers: Annotated[int, Field(ge=1)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        num_patterns: Annotated[int, Field(ge=2)] = 50,
        mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        pattern_weight: Annotated[float, Field(ge=0)] = 100,
        discriminator_weight: Annotated[float, Field(ge=0)] = 50,
        **optimiser,
    ):
        super().__init__(**optimiser)
        config = electra_config(vocab_size, max_length, hidden, layers, dropout=dropout)
        self.discriminator = TokenDiscriminator(config, num_patterns)
        self.generator = (
            TokenGenerator(electra_config(vocab_size, max_length, generator_hidden, generator_layers, dropout=dropout))
            if generator == "learned"
            else None
        )
        self.vocab_size = vocab_size
        self.pattern_weight, self.discriminator_weight = pattern_weight, discriminator_weight
        self.register_buffer("patterns", torch.rand(num_patterns, max_length) < mask_share)

    def objective(self, batch: LineBatch) -> Tensor:
        """Equation (1) of the unlabeled lines."""
        tokens = batch.tokens[~batch.labelled]
        original, attended = counted(tokens), tokens != PAD
        pattern = torch.randint(len(self.patterns), (len(tokens),), device=tokens.device)
        masked = original & self.patterns[pattern][:, : tokens.shape[1]]
        masked[:, 1] |= ~masked.any(1)  # the first token after [CLS]
        corrupted, generator_loss = self.corrupt(tokens, masked, attended)
        doubts, guesses = self.discriminator(corrupted, attended)
        pattern_loss = batch_mean(F.cross_entropy(guesses, pattern, reduction="none"))
        discriminator_loss = replaced_token_loss(doubts, corrupted != tokens, original)
        self.log_sometimes({"train/loss_pattern": pattern_loss, "train/loss_discriminator": discriminator_loss})
        return self.pattern_weight * pattern_loss + generator_loss + self.discriminator_weight * discriminator_loss

    def corrupt(self, tokens: Tensor, masked: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) tokens with the masked ones filled, and the generator's () loss, 0 where it is random."""
        if self.generator is None:
            drawn = torch.randint(MASK + 1, self.vocab_size, (int(masked.sum()),), device=tokens.device)
            return tokens.masked_scatter(masked, drawn), tokens.new_zeros((), dtype=torch.float32)
        guesses, _ = self.generator(tokens.masked_fill(masked, MASK), attended, masked)
        return tokens.masked_scatter(masked, fill(guesses, greedy=False)), masked_token_loss(guesses, tokens[masked])

    def line_scores(self, batch: LineBatch) -> Tensor:
        """(B,) equation (3)."""
        return line_probability(self.doubts(batch.tokens), counted(batch.tokens))

    def token_scores(self, tokens: Tensor) -> Tensor:
        """(B, T) probabilities of "replaced", 0 at what is not counted."""
        return self.doubts(tokens).sigmoid() * counted(tokens)

    def doubts(self, tokens: Tensor) -> Tensor:
        """(B, T) logits of "this token was replaced", for lines as they are."""
        return self.discriminator(tokens, tokens != PAD)[0]
