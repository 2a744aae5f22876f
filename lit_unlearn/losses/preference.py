"""Losses that make a language model forget answers as wholes, as pure functions of what it gives each sequence.

l(y) = log p(y | x), summed over the n_y tokens of the answer y, l0 of the untouched model, sigma the logistic function;
y_f is the answer to be forgotten, y_e another one (a refusal). Means are taken over the sequences of all processes.
Equation numbers are those of this module:

    (1)  -(2/b) log sigma(-b (l(y_f) - l0(y_f)))                               NPO, Zhang et al. 2024 (arXiv 2404.05868)
    (2)  -(2/b) log sigma(b [(l - l0)(y_e) - (l - l0)(y_f)])                   DPO (2305.18290), as in TOFU (2401.06121)
    (3)  -(2/b) log sigma(-b (l(y_f) / n_y + delta))                           SimNPO, Fan et al. 2024 (2410.07163)
    (4)  -[g*(P(y_e)) - f*(g*(P(y_f)))], P the token-averaged probability      FLAT, Wang et al. 2024 (2410.11143)

    f-divergence       g*(v)                     f*(u)             (4) with a = P(y_e), b = P(y_f)
    total_variation    tanh(v) / 2               u                 -tanh(a) / 2 + tanh(b) / 2
    kl                 v                         exp(u - 1)        -a + exp(b - 1)
    jensen_shannon     log(2 / (1 + exp(-v)))    -log(2 - e^u)     log(1+e^-a) + log(1+e^b) - 2 log 2
    pearson            v                         u^2 / 4 + u       -a + b^2 / 4 + b

The inputs are those of `losses.tokens`: sums over the answer's tokens in (1) and (2), not means and not raw logits.
"""

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses.reduction import batch_mean

Divergence = Literal["total_variation", "kl", "jensen_shannon", "pearson"]


def npo(log_probs: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Equation (1). Its gradient tends to that of gradient ascent on l(y_f) as `beta` tends to 0.

    Args:
        log_probs: (B,) l(y_f).
        reference: (B,) l0(y_f).
        beta: > 0, the inverse temperature.

    Returns:
        () >= 0; (2 / beta) log 2 at the untouched model.
    """
    return batch_mean(2 / beta * F.softplus(beta * (log_probs - reference)))


def dpo(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float) -> Tensor:
    """Equation (2); with refusals as the chosen answers the "IDK" variant.

    Args:
        chosen, rejected: (B,) l(y_e) and l(y_f) for the same prompts.
        reference_chosen, reference_rejected: (B,) the same of the untouched model.
        beta: > 0.

    Returns:
        () >= 0; (2 / beta) log 2 at the untouched model.
    """
    preferred = (chosen - reference_chosen) - (rejected - reference_rejected)
    return batch_mean(2 / beta * F.softplus(-beta * preferred))


def simnpo(log_probs: Tensor, lengths: Tensor, beta: float, delta: float = 0.0) -> Tensor:
    """Equation (3): needs no reference, and short answers weigh what long ones do.

    Args:
        log_probs: (B,) l(y_f).
        lengths: (B,) n_y, of `tokens.answer_lengths`.
        beta: > 0.
        delta: margin in nats a token; gamma in the authors' code.

    Returns:
        () >= 0.
    """
    return batch_mean(2 / beta * F.softplus(beta * (log_probs / lengths + delta)))


def flat(chosen: Tensor, rejected: Tensor, divergence: Divergence = "total_variation") -> Tensor:
    """Equation (4): raises the probability of another answer and lowers that of the one to be forgotten.

    Args:
        chosen, rejected: (B,) a = P(y_e) and b = P(y_f), of `tokens.answer_probability`.
        divergence: the f-divergence between the two that is maximised.

    Returns:
        (), falling in a and rising in b.
    """
    match divergence:
        case "total_variation":
            losses = (rejected.tanh() - chosen.tanh()) / 2
        case "kl":
            losses = (rejected - 1).exp() - chosen
        case "jensen_shannon":
            losses = F.softplus(-chosen) + F.softplus(rejected) - 2 * math.log(2)
        case "pearson":
            losses = rejected.square() / 4 + rejected - chosen
    return batch_mean(losses)
