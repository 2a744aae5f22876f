"""Isolation forest: what a few random cuts separate from the rest is abnormal.

Liu et al., "Isolation Forest", ICDM 2008; grown by scikit-learn's IsolationForest with its defaults.

Idea: trees cut the data at random places along random features until items are alone; anomalies are alone after fewer
cuts. Flattened unlabeled items are used, labelled anomalies are not.

Equations implemented: (1) and (2) of `lit_unlearn.networks.isolation_forest`. The score equals minus
`score_samples` of scikit-learn.

Deviations: none known. There is nothing to train: the forest is grown before the first step and the run ends after it.

Command: python -m lit_unlearn.fit experiment=pu_svdd/digits method=isolation_forest
"""

from typing import Annotated

import torch
from pydantic import Field

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.methods.anomaly.base import AnomalyDetector
from lit_unlearn.networks.isolation_forest import IsolationForestScore


class IsolationForest(AnomalyDetector):
    """An isolation forest on flattened unlabeled items.

    Args:
        num_trees: trees of the forest.
        max_samples: items a tree is grown from; all of them where there are fewer.
    """

    loss: IsolationForestScore

    def __init__(self, num_trees: Annotated[int, Field(ge=1)] = 100, max_samples: Annotated[int, Field(ge=2)] = 256):
        super().__init__()
        self.loss = IsolationForestScore(num_trees, max_samples)
        self.automatic_optimization = False

    def on_train_start(self) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.loss.grow(data.unlabeled, data.seed)

    def training_step(self, batch: PUBatch, batch_idx: int) -> None:
        # A step without gradients, which changes nothing: Lightning saves no checkpoint of a run without a step.
        self.optimizers().step()  # type: ignore[union-attr]
        self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)
