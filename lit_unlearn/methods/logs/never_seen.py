"""Never seen: a line that training did not have is abnormal.

No paper; the rule that any method has to beat. On logs whose lines are preprocessed so far that few distinct ones are
left it is hard to beat: a line is either known or new, and most alerts are new.

Idea: nothing is learned but the list of lines.

Equations implemented: (1) s(x) = 0 if x is among the training lines, else 1, where x is the line after preprocessing.

Deviations: none; there is no original.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=never_seen
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.logs.batches import LineBatch
from lit_unlearn.methods.logs.base import FittedLogDetector


class NeverSeen(FittedLogDetector):
    """Equation (1). The training lines are in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def fit_lines(self, text: list[str], count: NDArray[np.int64]) -> None:
        self.seen = set(text)

    def line_scores(self, batch: LineBatch) -> Tensor:
        return torch.tensor([float(line not in self.seen) for line in batch.text], device=batch.tokens.device)

    def get_extra_state(self) -> dict[str, Any]:
        return {"seen": sorted(self.seen)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.seen = set(state["seen"])
