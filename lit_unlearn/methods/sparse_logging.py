"""Logging of training values at a cost that small steps can bear, for the methods of every domain."""

from lightning import LightningModule
from torch import Tensor


class SparseLogging(LightningModule):
    """A LightningModule that logs when the logger writes, and not in between."""

    def log_sometimes(self, values: dict[str, Tensor], prog_bar: bool = False) -> None:
        """Logs at the steps that the logger writes; Lightning's bookkeeping of the others costs a tenth of a step."""
        if self._trainer is None:  # an objective called on its own
            return
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log_dict(values, prog_bar=prog_bar)
