"""Losses that make a language model forget answers token by token, as pure functions.

p_t = p(y_t | x, y_<t), CE_t = -log p_t, z_t the logits over the vocabulary at token t, sg() without gradient. Means
are taken over the labelled tokens of all processes. Equation numbers are those of this module; [secondary]: known from
the reproduction in open-unlearning only.

    (1)  -mean CE_t                                         gradient ascent, Jang et al. 2023 (arXiv 2210.01504)
    (2)  -mean sg(p_t)^b CE_t                               WGA (2502.19301) [secondary]
    (3)  -mean sg(p_t)^b1 sg(1 - p_t)^b2 CE_t               SatImp (2505.11953) [secondary]
    (4)  mean CE(softmax(z0_t - b onehot(y_t)), p_t)        UNDIAL (2402.10052), z0 of the untouched model [secondary]
    (5)  mean CE(sg softmax(z_t; z_t[y_t] = -inf), p_t)     CE-U (2503.01224) [secondary]
    (6)  mean (max_v z_t[v] - mean_v z_t[v])^2              PDU (2506.05314) [secondary]
    (7)  mean 1 + p_t - max_{v != y_t} p_t(v)               IHL of LoKU (2408.06621)
    (8)  mean |h_t - c r/|r||^2 / d                         RMU (2403.03218), r ~ U[0,1)^d drawn once [secondary]

(1) to (3) have no lower bound, (4) to (8) have one. A mean over tokens of a part of a batch is not a part of the mean:
gradients accumulated over micro-batches weigh the tokens of a short micro-batch more.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.losses.tokens import IGNORED, answer_logits, cross_entropy, widened


def gradient_ascent(logits: Tensor, labels: Tensor) -> Tensor:
    """Equation (1).

    Args:
        logits: (B, T, V), at t the prediction of token t + 1.
        labels: (B, T) int64, aligned with the tokens, IGNORED outside the answers. These two are the same in every
            function of this module.

    Returns:
        () mean log-probability of the answers' tokens, <= 0.

    Raises:
        ValueError: no token is labelled (as every function here).
    """
    return batch_mean(-cross_entropy(logits, labels))


def wga(logits: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Equation (2): gradient ascent that lets go of what is unlikely already; with `beta` 0 it is (1).

    Returns:
        () <= 0.
    """
    return satimp(logits, labels, beta, 0.0)


def satimp(logits: Tensor, labels: Tensor, beta1: float, beta2: float) -> Tensor:
    """Equation (3): weighs by saturation (`beta1`) and importance (`beta2`); with both 0 it is (1).

    Returns:
        () <= 0.
    """
    ce = cross_entropy(logits, labels)
    log_probs = -ce.detach()
    weight = (beta1 * log_probs).exp() * (-log_probs.expm1()) ** beta2
    return batch_mean(-weight * ce)


def undial(logits: Tensor, labels: Tensor, reference_logits: Tensor, beta: float) -> Tensor:
    """Equation (4): distils the untouched model with the logit of the true token lowered.

    Args:
        reference_logits: (M, V) of the untouched model at the M labelled tokens, row by row as `tokens.answer_logits`
            has them; its log-probabilities serve as well. No gradient is passed to them.
        beta: by how much the logit is lowered.

    Returns:
        () >= the mean entropy of the targets, which it reaches where the model equals them.
    """
    student, gold = answer_logits(logits, labels)
    teacher = widened(reference_logits.detach())
    lowered = teacher.scatter_add(1, gold[:, None], teacher.new_full((len(gold), 1), -beta))
    return batch_mean(F.cross_entropy(student, lowered.softmax(-1), reduction="none"))


def ce_u(logits: Tensor, labels: Tensor, skip_first: int = 1) -> Tensor:
    """Equation (5): moves the mass of the true token to the others, in the proportions they have.

    Args:
        skip_first: so many tokens at the beginning of each answer are left out; an answer that has no more contributes
            nothing.

    Returns:
        () >= 0.
    """
    order = F.pad((labels[:, 1:] != IGNORED).cumsum(1), (1, 0))
    student, gold = answer_logits(logits, labels.masked_fill(order <= skip_first, IGNORED))
    # The target has exactly 0 where the true token is. It meets a finite log-probability there, never 0 * -inf.
    target = student.detach().scatter(1, gold[:, None], -torch.inf).softmax(-1)
    return batch_mean(F.cross_entropy(student, target, reduction="none"))


def pdu_forget(logits: Tensor, labels: Tensor) -> Tensor:
    """Equation (6): levels the logits. The multiplier of the retain constraint is the method's, not this loss's.

    Returns:
        () >= 0, 0 where all tokens of the vocabulary are equally likely.
    """
    scores, _ = answer_logits(logits, labels)
    return batch_mean((scores.amax(-1) - scores.mean(-1)).square())


def ihl(logits: Tensor, labels: Tensor) -> Tensor:
    """Equation (7), the inverted hinge loss: the true token against its strongest rival.

    The hinge is written without max(0, .), since no probability exceeds 1.

    Returns:
        () in [0, 2]: 2 where the true token is certain, 1 where it ties with its rival, 0 where the rival is certain.
    """
    scores, gold = answer_logits(logits, labels)
    probs = scores.softmax(-1)
    rival = probs.scatter(1, gold[:, None], -1.0).amax(-1)
    return batch_mean(1 + probs.gather(1, gold[:, None]).squeeze(1) - rival)


def rmu(hidden: Tensor, labels: Tensor, control: Tensor) -> Tensor:
    """Equation (8): steers hidden states to a fixed vector.

    Steered are the states that the answer's tokens are predicted from: at the last token of the prompt and at all
    tokens of the answer but its last. (Public code steers the answer's own positions, one later.)

    Args:
        hidden: (B, T, d) states of one layer.
        labels: (B, T) int64, as for the losses on logits.
        control: (d,) of `control_vector`.

    Returns:
        () >= 0, 0 where all those states equal `control`.
    """
    states, _ = answer_logits(hidden, labels)
    return batch_mean((states - control).square().mean(-1))


def control_vector(width: int, scale: float, seed: int) -> Tensor:
    """c r/|r| of equation (8), the same whenever and on whichever process it is drawn.

    Args:
        width: d, of the hidden states.
        scale: c, its length.
        seed: of r.

    Returns:
        (d,) float32.
    """
    direction = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    return scale * direction / direction.norm()
