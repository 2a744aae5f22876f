"""How a language model does on answers that are given: everything from one forward pass, nothing is generated.

Definitions of exact match, probability and truth ratio after Maini et al., "TOFU: A Task of Fictitious Unlearning for
LLMs", 2024, arXiv 2401.06121. Labels are aligned with the tokens and IGNORED outside the answer, see
`lit_unlearn.losses.tokens`; all logarithms are in float32 or wider.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_unlearn.losses.tokens import aligned, answer_lengths, sequence_log_probs


def exact_match(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: whether greedy decoding of the prompt gives the answer, to its last labelled token.

    That is whether each labelled token is the most probable one after the right tokens before it: as long as all are
    right, decoding sees the same tokens. Of equally probable tokens the first in the vocabulary counts, as in `argmax`.

    Args:
        logits, labels: (B, T, V) and (B, T).

    Raises:
        ValueError: a row has no labelled token.
    """
    answer_lengths(labels)
    logits, labels, mask = aligned(logits, labels)
    return ((logits.argmax(-1) == labels) | ~mask).all(1)


def mean_log_prob(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) log p(answer | prompt) / |answer|, the logarithm of TOFU's "probability"; arguments as of `exact_match`."""
    return sequence_log_probs(logits, labels) / answer_lengths(labels)


def log_truth_ratio(right: NDArray, wrong: NDArray) -> NDArray:
    """(N,) log R, with R = P(wrong answers) / P(right answer), both per token.

    The wrong ones are averaged over their losses and then exponentiated: a geometric mean of probabilities.

    Args:
        right: (N,) `mean_log_prob` of the right answers.
        wrong: (N, W) of wrong answers to the same prompts; NaN where a prompt has fewer than W.
    """
    return np.nanmean(wrong, axis=1) - right


def truth_ratio_forgotten(log_ratio: NDArray) -> NDArray:
    """(N,) min(R, 1/R) in [0, 1]: 1 where the right answer is neither more nor less probable than wrong ones."""
    return np.exp(-np.abs(log_ratio))


def truth_ratio_kept(log_ratio: NDArray) -> NDArray:
    """(N,) max(0, 1 - R) in [0, 1]: 1 where wrong answers have no probability beside the right one."""
    return -np.expm1(np.minimum(log_ratio, 0))


def perplexity(log_probs: Tensor) -> float:
    """(M,) log-probabilities of tokens to the exponential of their mean loss."""
    return torch.exp(-log_probs.double().mean()).item()
