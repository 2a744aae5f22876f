"""PGD adversarial training: cross entropy on pictures that PGD has made hard.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, arXiv 1706.06083.

Idea: min over weights of the mean of max over the ball of CE. Implemented: L = CE(S(x~), y), x~ raises CE.

Deviation: the attack sees the network in eval mode (`attack_mode=train` for theirs).

Command: python -m lit_unlearn.fit experiment=pgd_at/digits
Expect: about three quarters of the test pictures right under PGD-20 at eps 0.2, one in twenty with natural training.
"""

from typing import Any

from lit_unlearn.methods.robust.distillation import Distillation


class PgdAt(Distillation):
    """CE(S(x~), y).

    Args:
        others: see `Distillation`.
    """

    def __init__(self, **others: Any):
        super().__init__(**others)
        self.weights = {"label_adversarial": 1.0}
