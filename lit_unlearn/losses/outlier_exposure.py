"""Training on items whose labels are guessed during training, as pure functions.

l_n is the loss of an item taken as normal, l_a its loss taken as anomalous, a the share of anomalies among N items.
Equation numbers are those of this module; source: Qiu et al., "Latent Outlier Exposure for Anomaly Detection with
Contaminated Data", ICML 2022.

    (1)  sum_i (1 - y_i) l_n(x_i) + y_i l_a(x_i)      joint loss of the weights and the labels y
    (2)  y_i = 1 for the a N items with the           hard: minimises (1) over y in {0, 1}^N with sum_i y_i = a N
         largest l_n - l_a, else 0
    (3)  (2) with 1/2 in place of 1                   soft: in doubt, such an item takes (l_n + l_a) / 2
"""

from typing import Literal

import torch
from torch import Tensor

from lit_unlearn.losses.reduction import gather

Assignment = Literal["hard", "soft"]


def latent_labels(normal_loss: Tensor, anomalous_loss: Tensor, alpha: float, assignment: Assignment) -> Tensor:
    """Equations (2) and (3): the labels that suit the losses best, ranked over the whole batch of all processes.

    Args:
        normal_loss, anomalous_loss: (B,) l_n and l_a of this process's samples.
        alpha: assumed share of anomalies; a N is rounded to the nearest integer.
        assignment: `hard` or `soft`.

    Returns:
        (B,) labels in {0, 1} or {0, 1/2}, without gradients. Of equal items the earlier one counts as anomalous.
    """
    difference, own = gather(normal_loss - anomalous_loss)
    most_abnormal = difference.argsort(descending=True, stable=True)[: round(alpha * len(difference))]
    labels = torch.zeros_like(difference)
    labels[most_abnormal] = 1.0 if assignment == "hard" else 0.5
    return labels[own]


def exposure(normal_loss: Tensor, anomalous_loss: Tensor, labels: Tensor) -> Tensor:
    """Equation (1), per sample.

    Args:
        normal_loss, anomalous_loss: (B,) l_n and l_a.
        labels: (B,) y in [0, 1].
    """
    return (1 - labels) * normal_loss + labels * anomalous_loss
