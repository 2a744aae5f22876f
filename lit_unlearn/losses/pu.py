"""The positive-unlabeled risk and the loss-to-probability map, as pure functions.

Anomalies are the positives (label 1), the unlabeled data U a mixture of anomalies and normals: p_U = a p_A + (1-a) p_N.
Equation numbers are those of this module:

    (1)  l_BCE(x, 0) = l(x)                      p(normal | x) = exp(-l(x))      ABC, Yamanaka et al. 2019
    (2)  l_BCE(x, 1) = -log(1 - exp(-l(x)))
    (3)  R = a E_A[l(x,1)] + E_U[l(x,0)] - a E_A[l(x,0)]                         unbiased PU risk
    (4)  a L_A+ + | L_U- - a L_A- |              PUAE, PUSVDD (arXiv 2405.18929) [secondary]; Hammoudeh & Lowd 2020
    (5)  a L_A+ + max(0, L_U- - a L_A-)          clamped
    (6)  Kiryo et al. 2017 (nnPU): where L_U- - a L_A- < -beta, step along -gamma (L_U- - a L_A-) alone
"""

from typing import Literal

import torch
from torch import Tensor

Correction = Literal["abs", "clamp", "nnpu", "none"]


def positive_bce(loss: Tensor, least: float = 1e-7) -> Tensor:
    """Equation (2): the binary cross entropy of "anomalous" where exp(-loss) is the probability of "normal".

    Computed in float32 or wider also under autocast, as -log(-expm1(-l)). Bounded below by 0; switches itself off
    as the loss grows; its slope is -1/(exp(l) - 1).

    Args:
        loss: (B,) non-negative losses.
        least: losses are clamped from below here; the clamp passes the slope at `least`, so that a sample at zero
            loss is still pushed away.

    Returns:
        (B,) losses >= 0, float32 or wider.
    """
    wide = loss if loss.dtype == torch.float64 else loss.float()
    clamped = wide + (wide.clamp_min(least) - wide).detach()
    return -torch.log(-torch.expm1(-clamped))


def positive_inverse(distance: Tensor, eps: float = 1e-6) -> Tensor:
    """1 / (d + eps): the loss of "anomalous" paired with d as the loss of "normal" [reconstructed: "SAD-type"].

    Args:
        distance: (B,) non-negative distances.
    """
    return 1 / (distance + eps)


def pu_risk(
    positive_loss: Tensor,
    unlabeled_negative_loss: Tensor,
    positive_negative_loss: Tensor,
    alpha: float | Tensor,
    correction: Correction = "abs",
    nnpu_beta: float = 0.0,
    nnpu_gamma: float = 1.0,
) -> Tensor:
    """The PU training objective of batch means, equations (3) to (6).

    The corrections keep a flexible network from driving the estimated risk on normals below zero. The value of (4) on
    a minibatch exceeds that on the full data (the absolute value is convex); the bias shrinks with the batch.

    Args:
        positive_loss: () L_A+ = mean over labelled anomalies of l(x, 1).
        unlabeled_negative_loss: () L_U- = mean over unlabeled items of l(x, 0).
        positive_negative_loss: () L_A- = mean over labelled anomalies of l(x, 0).
        alpha: share of anomalies among the unlabeled items.
        correction: `abs` (4), `clamp` (5), `nnpu` (6) or `none` (3).
        nnpu_beta, nnpu_gamma: tolerance and step of (6).

    Returns:
        () objective. With `nnpu` below the tolerance only its gradient is meaningful.
    """
    positive_risk = alpha * positive_loss
    negative_risk = unlabeled_negative_loss - alpha * positive_negative_loss
    match correction:
        case "abs":
            return positive_risk + negative_risk.abs()
        case "clamp":
            return positive_risk + negative_risk.clamp_min(0)
        case "nnpu":
            return torch.where(negative_risk < -nnpu_beta, -nnpu_gamma * negative_risk, positive_risk + negative_risk)
        case "none":
            return positive_risk + negative_risk
