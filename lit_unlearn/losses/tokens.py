"""Which logits speak about which token, and what they say, as pure functions.

The one place where logits and labels are shifted against each other and where masked tokens are left out. Labels are
aligned with the tokens, as in Hugging Face: labels[t] is token t where it is to be learnt or judged and IGNORED
elsewhere, and the logits at t - 1 predict it. What is masked is left out before anything is indexed, summed or
averaged, so that IGNORED is never an index and masked logits have no influence, not even where they are not finite.

p_t = p(y_t | x, y_<t), A the labelled tokens of a sequence. Equation numbers are those of this module:

    (1)  CE_t = -log p_t                     of one token
    (2)  log p(y | x) = -sum_{t in A} CE_t   of a sequence
    (3)  P(y | x) = mean_{t in A} p_t        token-averaged probability (arXiv 2410.11143)

All are computed in float32 or wider. The label of a sequence's first token has no influence: nothing predicts it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100
"""Label of a token that is neither learnt nor judged."""


def aligned(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shifts by one: at each place what is predicted there, and the token that came.

    Args:
        logits: (B, T, V) of any kind that is read at t to predict token t + 1; hidden states as well.
        labels: (B, T) int64, IGNORED where masked.

    Returns:
        (B, T-1, V) logits; (B, T-1) labels, 0 where masked, so that each is an index; (B, T-1) bool, False where
        masked.

    Raises:
        ValueError: no token is labelled.
    """
    labels = labels[:, 1:]
    mask = labels != IGNORED
    if not mask.any():
        raise ValueError(f"no labelled token among {tuple(labels.shape)} that can be predicted")
    return logits[:, :-1], labels.masked_fill(~mask, 0), mask


def answer_logits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The labelled tokens of the batch, row by row.

    Args:
        logits, labels: (B, T, V) and (B, T), see `aligned`.

    Returns:
        (M, V) logits in float32 or wider, and the (M,) tokens they should predict.

    Raises:
        ValueError: no token is labelled.
    """
    logits, labels, mask = aligned(logits, labels)
    return widened(logits[mask]), labels[mask]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(M,) equation (1) of the labelled tokens, row by row; arguments as of `answer_logits`."""
    return F.cross_entropy(*answer_logits(logits, labels), reduction="none")


def token_log_probs(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T-1) log p_t of the labelled tokens, 0 where masked, and the (B, T-1) mask of `aligned`."""
    _, _, mask = aligned(logits, labels)
    chosen = -cross_entropy(logits, labels)
    return chosen.new_zeros(mask.shape).masked_scatter(mask, chosen), mask


def sequence_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) equation (2); raises ValueError where a row has no labelled token."""
    answer_lengths(labels)
    return token_log_probs(logits, labels)[0].sum(1)


def answer_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) equation (3); raises ValueError where a row has no labelled token."""
    log_probs, mask = token_log_probs(logits, labels)
    return (log_probs.exp() * mask).sum(1) / answer_lengths(labels)


def answer_lengths(labels: Tensor) -> Tensor:
    """(B,) int64, how many tokens of each row are labelled and predicted; the n_y of length-normalised losses.

    Raises:
        ValueError: a row has none, of which no loss of sequences could be told.
    """
    lengths = (labels[:, 1:] != IGNORED).sum(1)
    if not lengths.all():
        raise ValueError(f"rows without a labelled token: {(lengths == 0).nonzero().flatten().tolist()}")
    return lengths


def widened(x: Tensor) -> Tensor:
    """`x` in float32 or wider: sums over a vocabulary and logarithms are not taken in bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
