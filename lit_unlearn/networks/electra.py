"""The two Transformers of ELECTRA, from transformers, randomly initialised, computing no more than is asked for.

Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", ICLR 2020. The two share
no weights: no gradient of the discriminator's loss can reach the generator.
"""

from typing import Any

from torch import Tensor, nn


def electra_config(
    vocab_size: int, max_length: int, hidden: int, layers: int, heads: int | None = None, dropout: float = 0.1
) -> Any:
    """A transformers ElectraConfig: feed-forward 4 x hidden, embeddings as wide as `hidden`.

    Args:
        vocab_size: tokens of the vocabulary.
        max_length: positions.
        hidden: width.
        layers: number of blocks.
        heads: attention heads; None takes one for each 64 of the width, at least one.
        dropout: of embeddings, attention and feed-forward.
    """
    from transformers import ElectraConfig

    return ElectraConfig(
        vocab_size=vocab_size,
        embedding_size=hidden,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads or max(1, hidden // 64),
        intermediate_size=4 * hidden,
        max_position_embeddings=max_length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=0,
    )


class TokenGenerator(nn.Module):
    """A masked language model: which token stands at a position.

    Args:
        config: see `electra_config`.
    """

    def __init__(self, config: Any):
        from transformers import ElectraForMaskedLM

        super().__init__()
        self.model = ElectraForMaskedLM(config)

    def forward(self, tokens: Tensor, attended: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) tokens, (B, T) bool which of them are attended to, (B, T) bool positions asked for.

        Returns:
            (M, V) logits at the M positions asked for, and nowhere else; (B, H) representation of the first token.
        """
        hidden = self.model.electra(tokens, attention_mask=attended)[0]
        return self.model.generator_lm_head(self.model.generator_predictions(hidden[asked])), hidden[:, 0]


class TokenDiscriminator(nn.Module):
    """Tells replaced tokens from original ones.

    Args:
        config: see `electra_config`.
        num_patterns: classes of a second head on the first token (DATE's replaced mask detection); 0 leaves it out.
    """

    def __init__(self, config: Any, num_patterns: int = 0):
        from transformers import ElectraForPreTraining

        super().__init__()
        self.model = ElectraForPreTraining(config)
        hidden = config.hidden_size
        self.patterns = (
            nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, num_patterns))
            if num_patterns
            else None
        )

    def forward(self, tokens: Tensor, attended: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, T) tokens and which are attended to: (B, T) logits of "replaced", and (B, K) of the pattern or None."""
        hidden = self.model.electra(tokens, attention_mask=attended)[0]
        logits = self.model.discriminator_predictions(hidden)
        return logits, None if self.patterns is None else self.patterns(hidden[:, 0])
