"""Natural training: cross entropy on the pictures as they are; what no attack was met in training looks like.

Command: python -m lit_unlearn.fit experiment=natural/digits
"""

from typing import Any

from lit_unlearn.methods.robust.distillation import Distillation


class Natural(Distillation):
    """CE(S(x), y); the best checkpoint is the one with the highest clean accuracy.

    Args:
        others: see `Distillation`; there is no attack in training, the one of validation is used.
    """

    selected_by = "clean_accuracy"

    def __init__(self, **others: Any):
        super().__init__(**others | {"inner_loss": "none"})
        self.weights = {"label_clean": 1.0}
