"""Losses that keep a language model as it is, as pure functions.

p_t and p0_t are the distributions at token t of the model and of the untouched model, h and h0 hidden states of d
numbers. Means are taken over the labelled tokens, or counted positions, of all processes: neither the prompt nor
padding is distilled. Equation numbers are those of this module:

    (1)  -mean log p_t(y_t)                                               next-token loss, GradDiff (arXiv 2203.12817)
    (2)  mean KL(p0_t || p_t)                                             TOFU (2401.06121), NPO (2404.05868)
    (3)  (2) of p0_t and p_t coarsened: the K tokens S that p0_t likes best, and all others as one
         mean sum_{v in S} p0_t(v) log(p0_t(v) / p_t(v)) + p0_t(not S) log(p0_t(not S) / p_t(not S))
    (4)  mean |h - h0|^2 / d                                              RMU (2403.03218)

(3) is a lower bound of (2) (data processing inequality) for a fraction K/V of the memory. (2) to (4) are 0, with zero
gradient, at the untouched model.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.losses.tokens import answer_logits, cross_entropy, widened


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Equation (1).

    Args:
        logits: (B, T, V), at t the prediction of token t + 1.
        labels: (B, T) int64, aligned with the tokens, IGNORED where nothing is learnt.

    Returns:
        () >= 0, nats a token.

    Raises:
        ValueError: no token is labelled.
    """
    return batch_mean(cross_entropy(logits, labels))


def kl(logits: Tensor, labels: Tensor, reference: Tensor) -> Tensor:
    """Equation (2).

    Args:
        logits, labels: see `nll`.
        reference: (M, V) log p0 at the M labelled tokens, row by row as `tokens.answer_logits` has them.

    Returns:
        () >= 0, nats a token.

    Raises:
        ValueError: no token is labelled.
    """
    log_probs = answer_logits(logits, labels)[0].log_softmax(-1)
    return batch_mean(F.kl_div(log_probs, widened(reference), log_target=True, reduction="none").sum(-1))


def kl_top_k(logits: Tensor, labels: Tensor, values: Tensor, indices: Tensor) -> Tensor:
    """Equation (3).

    Args:
        logits, labels: see `nll`.
        values, indices: (M, K) the K < V largest log p0 at the M labelled tokens and which tokens they belong to, of
            `torch.topk`, row by row as `tokens.answer_logits` has them.

    Returns:
        () >= 0, nats a token.

    Raises:
        ValueError: no token is labelled.
    """
    log_probs, values = answer_logits(logits, labels)[0].log_softmax(-1), widened(values)
    others = log_probs.scatter(1, indices, -torch.inf).logsumexp(-1)  # not log(1 - sum): exact however small
    reference_others = (1 - values.exp().sum(-1)).clamp_min(0)
    listed = F.kl_div(log_probs.gather(1, indices), values, log_target=True, reduction="none").sum(-1)
    return batch_mean(listed + F.kl_div(others, reference_others, reduction="none"))


def hidden_mse(hidden: Tensor, reference: Tensor, counted: Tensor) -> Tensor:
    """Equation (4).

    Args:
        hidden, reference: (B, T, d) states of one layer, of the model and of the untouched model.
        counted: (B, T) bool, the positions that are kept, not shifted; the others have no influence.

    Returns:
        () >= 0.

    Raises:
        ValueError: no position is counted.
    """
    if not counted.any():
        raise ValueError(f"no counted position among {tuple(counted.shape)}")
    return batch_mean((widened(hidden[counted]) - reference[counted]).square().mean(-1))
