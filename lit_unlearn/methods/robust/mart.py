"""MART: TRADES with more weight on pictures that are misclassified anyway.

Wang et al., "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR 2020.

Implemented: L = BCE(S(x~), y) + b KL(S(x) -> S(x~)) (1 - p_y(S(x))), b = 6 as in the authors' code (5 in the paper),
BCE equation (3) of `lit_unlearn.losses.distillation`; x~ raises CE.

Command: python -m lit_unlearn.fit experiment=ardir/digits method=mart
"""

from typing import Any

from lit_unlearn.methods.robust.distillation import Distillation, Weight


class Mart(Distillation):
    """BCE(S(x~), y) + b KL(S(x) -> S(x~)) (1 - p_y(S(x))).

    Args:
        beta: b.
        others: see `Distillation`.
    """

    def __init__(self, beta: Weight = 6.0, **others: Any):
        super().__init__(**others)
        self.weights = {"label_boosted": 1.0, "self_misclassified": beta}
