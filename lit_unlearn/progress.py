"""What a run says while it trains: a bar in a terminal, plain lines elsewhere."""

import sys
import time

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class PlainProgress(Callback):
    """One line an epoch, at most one every `seconds`, for pipes and log files.

    Args:
        seconds: least time between two lines.
    """

    def __init__(self, seconds: float = 5.0):
        self.seconds = seconds
        self._spoken = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._spoken = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = time.monotonic()
        if trainer.is_global_zero and now - self._spoken >= self.seconds:
            self._spoken = now
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in sorted(trainer.progress_bar_metrics.items()))
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {metrics}", flush=True)


def progress() -> Callback:
    """A progress bar where standard error is a terminal, else `PlainProgress`."""
    return TQDMProgressBar(leave=False) if sys.stderr.isatty() else PlainProgress()
