"""TRADES: accuracy on clean pictures, and little change of the output in the ball around them.

Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML 2019, arXiv 1901.08573.

Implemented: L = CE(S(x), y) + b KL(S(x) -> S(x~)), b = 6, x~ raises that KL from 0.001 standard normal noise.

Command: python -m lit_unlearn.fit experiment=ardir/digits method=trades
"""

from typing import Any

from lit_unlearn.attacks.ball import Start
from lit_unlearn.methods.robust.distillation import Distillation, InnerLoss, Weight


class Trades(Distillation):
    """CE(S(x), y) + b KL(S(x) -> S(x~)).

    Args:
        beta: b.
        inner_loss, attack_start, others: see `Distillation`.
    """

    def __init__(
        self, beta: Weight = 6.0, inner_loss: InnerLoss = "kl_self", attack_start: Start = "gaussian", **others: Any
    ):
        super().__init__(inner_loss=inner_loss, attack_start=attack_start, **others)
        self.weights = {"label_clean": 1.0, "self": beta}
