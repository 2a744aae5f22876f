"""Typed batches of the domain `llm`.

Sequences are padded on the right and attention is causal: padding comes after everything that is read, so no attention
mask is needed to train on a sequence or to judge it.
"""

from typing import NamedTuple

from torch import Tensor

IGNORED = -100
"""Label of a token that is not learnt."""

ENTITY_ABSENT = -1
"""`entity_end` of a text that names no entity."""


class TextBatch(NamedTuple):
    """Documents packed into blocks.

    Attributes:
        tokens: (B, T) int64.
        labels: (B, T) int64, the token where it is to be learnt from those before it, else `IGNORED`.
        positions: (B, T) int64, from 0 in each document; without an attention mask a model of transformers takes a
            restart as the begin of a document that sees nothing before it.
    """

    tokens: Tensor
    labels: Tensor
    positions: Tensor


class AnswerBatch(NamedTuple):
    """Prompts with their answers.

    Attributes:
        tokens: (B, T) int64.
        labels: (B, T) int64, the token where it belongs to the answer, else `IGNORED`.
        entity_end: (B,) int64, where the entity's last token stands, or `ENTITY_ABSENT`.
        prompt_end: (B,) int64, where the prompt's last token stands: the state there predicts the answer's first token.
        item: (B,) int64, which item of its pool a row is.
    """

    tokens: Tensor
    labels: Tensor
    entity_end: Tensor
    prompt_end: Tensor
    item: Tensor


class ProbeBatch(NamedTuple):
    """Items to be judged with during training.

    Attributes:
        split: of `probes`, or a group of `entities`.
        entities: which of the two.
        answers: the items.
    """

    split: str
    entities: bool
    answers: AnswerBatch


class UnlearningBatch(NamedTuple):
    """What a step of unlearning sees. Rows of the first three belong together.

    Attributes:
        forget: prompts about targets, with the true answers.
        refusal: the same prompts, answered with a refusal.
        unknown: the same templates about a name never seen, paired to the target, answered with a refusal.
        retain: what must stay; its own number of rows.
    """

    forget: AnswerBatch
    refusal: AnswerBatch
    unknown: AnswerBatch
    retain: AnswerBatch
