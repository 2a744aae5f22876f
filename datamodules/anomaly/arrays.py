"""Anomaly data that a caller has in memory already, for use without configuration."""

import torch
from numpy.typing import NDArray

from datamodules.anomaly.base import AnomalyDataModule


class Arrays(AnomalyDataModule):
    """Training data given as arrays: no protocol, no validation, no test.

    Args:
        unlabeled, labelled: (U, *input_shape) and (A, *input_shape) float32.
        batch_size, labelled_batch_size, seed: see `AnomalyDataModule`.
    """

    def __init__(
        self, unlabeled: NDArray, labelled: NDArray, batch_size: int = 128, labelled_batch_size: int = 64, seed: int = 0
    ):
        super().__init__(batch_size=batch_size, labelled_batch_size=labelled_batch_size, seed=seed)
        self.unlabeled, self.labelled = torch.from_numpy(unlabeled), torch.from_numpy(labelled)
        self.input_shape = list(unlabeled.shape[1:])

    def setup(self, stage: str | None = None) -> None:
        """There is nothing to draw."""
