"""Anomaly data that a caller has in memory already, for use without configuration."""

import torch
from lightning import LightningDataModule
from numpy.typing import NDArray

from datamodules.anomaly.base import PUBatches
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader


class Arrays(LightningDataModule):
    """Training data given as arrays: no protocol, no validation, no test.

    Args:
        unlabeled, labelled: (U, *input_shape) and (A, *input_shape) float32.
        batch_size, labelled_batch_size: items of each in an optimiser step, over all processes.
        seed: of the order of the batches.
    """

    def __init__(self, unlabeled: NDArray, labelled: NDArray, batch_size: int, labelled_batch_size: int, seed: int):
        super().__init__()
        self.unlabeled, self.labelled = torch.from_numpy(unlabeled), torch.from_numpy(labelled)
        self.batch_sizes, self.seed = [batch_size, labelled_batch_size], seed

    def train_dataloader(self) -> ResumableLoader:
        sampler = EpochBatchSampler([len(self.unlabeled), len(self.labelled)], self.batch_sizes, self.seed)
        return ResumableLoader(PUBatches(self.unlabeled, self.labelled), sampler)
