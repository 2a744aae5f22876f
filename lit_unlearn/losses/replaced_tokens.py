"""Losses of LogELECTRA: tokens are masked, filled by a generator, and a discriminator tells which were replaced.

Yamanaka, Takahashi, Minami, Nakajima, "LogELECTRA: Self-supervised Anomaly Detection for Unstructured Logs", 2024
(arXiv 2402.10397). Equation numbers are those of this project's reading of the paper:

    L_G = E[ - sum_{i in M} log p_G(x_i | x_masked) ]                                            equation (1)
    D(x_i) = sigmoid(logit_i), the probability that token i was replaced                         equation (2)
    L_D = E[ - sum_i 1(c_i != x_i) log D(c_i) - sum_i 1(c_i = x_i) log(1 - D(c_i)) ]             equation (3)
    L = L_G + lambda L_D                                                                         equation (4)
    score(x) = -(1/N) sum_i log(1 - D(x_i)) = mean of softplus(logit_i)                          equation (5)

Sums over tokens are taken as means over the tokens of the whole batch, as ELECTRA's code does: a long line weighs as
many tokens as it has.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses.reduction import batch_mean


def masked_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Equation (1): cross-entropy of the generator at the masked tokens.

    Args:
        logits: (M, V) float, at the masked tokens of the batch.
        tokens: (M,) int64, what stood there.

    Returns:
        () mean over the masked tokens of all processes.
    """
    return batch_mean(F.cross_entropy(logits, tokens, reduction="none"))


def replaced_token_loss(logits: Tensor, replaced: Tensor, counted: Tensor) -> Tensor:
    """Equation (3): binary cross-entropy of the discriminator at the counted tokens.

    Args:
        logits: (B, T) float, high where a token is taken for replaced.
        replaced: (B, T) bool, where the token is not the line's own. One that the generator got right is original.
        counted: (B, T) bool, the tokens that take part; the others have no influence.

    Returns:
        () mean over the counted tokens of all processes.
    """
    asked = logits[counted]
    return batch_mean(F.binary_cross_entropy_with_logits(asked, replaced[counted].to(asked.dtype), reduction="none"))


def token_scores(logits: Tensor, counted: Tensor) -> Tensor:
    """The summands of equation (5): -log(1 - D) = softplus(logit), at tokens not counted 0.

    Args:
        logits: (B, T) float.
        counted: (B, T) bool.

    Returns:
        (B, T) non-negative.
    """
    return F.softplus(logits) * counted


def line_score(logits: Tensor, counted: Tensor) -> Tensor:
    """Equation (5): the mean of `token_scores` over the counted tokens; 0 for a line without any.

    Args:
        logits: (B, T) float.
        counted: (B, T) bool.

    Returns:
        (B,), higher for what is more abnormal.
    """
    return token_scores(logits, counted).sum(1) / counted.sum(1).clamp(min=1)


def masked_positions(counted: Tensor, share: float) -> Tensor:
    """Draws the tokens to be masked: each counted one with a probability of `share`, at least one a line.

    Without the least of one, most short lines would teach the generator nothing (at 15 % a line of five tokens is
    left whole in 44 of 100 draws).

    Args:
        counted: (B, T) bool, tokens that may be masked.
        share: in (0, 1].

    Returns:
        (B, T) bool.
    """
    drawn = torch.rand(counted.shape, device=counted.device).masked_fill(~counted, 2)
    return counted & ((drawn < share) | (drawn == drawn.amin(1, keepdim=True)))


def fill(logits: Tensor, greedy: bool) -> Tensor:
    """Tokens in the place of the masked ones, without gradients: the corruption is data to the discriminator.

    Args:
        logits: (M, V) float, of the generator.
        greedy: take the most probable token, or else draw one from the distribution.

    Returns:
        (M,) int64.
    """
    logits = logits.detach().float()
    return logits.argmax(1) if greedy else torch.distributions.Categorical(logits=logits).sample()


def line_probability(logits: Tensor, counted: Tensor) -> Tensor:
    """DATE's score in the place of equation (5): the mean of D over the counted tokens; 0 for a line without any.

    Args:
        logits: (B, T) float.
        counted: (B, T) bool.

    Returns:
        (B,) in [0, 1], higher for what is more abnormal.
    """
    return (logits.sigmoid() * counted).sum(1) / counted.sum(1).clamp(min=1)
