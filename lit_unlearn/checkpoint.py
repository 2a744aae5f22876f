"""Checkpoints that are never torn, say what made them, and are read without running code.

A checkpoint is Lightning's, with one more entry, `lit_unlearn`: the version, the resolved configuration and whether
training had ended. It holds everything a run needs to go on to equal bits.
"""

import logging
import os
import pickle
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from pydantic import Field

import lit_unlearn
from lit_unlearn import nodes
from lit_unlearn.errors import RunFailed, UserError

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
ENTRY = "lit_unlearn"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, syncs it to the disk, then renames it: a kill leaves the old or the new."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.part")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if final.name == LAST and final.exists():
                os.replace(final, final.with_name(PREVIOUS))
            os.replace(temporary, final)
            _sync_folder(final.parent)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch's own follows on the disk's
            if not isinstance(cause, OSError):
                raise
            raise RunFailed(
                f"{final}: the checkpoint could not be written ({cause}); those written before are whole. "
                "Make room and start the same command again"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SaveLast(Checkpoint):
    """Keeps last.ckpt (and the one before it) so that a killed run goes on; ends a signalled run cleanly.

    Saves every `every_n_steps` optimiser steps, at the end of training, and on SIGTERM or SIGINT, upon which the run
    ends with status 143 or 130. The last batch of an epoch is saved after the epoch's validation: a checkpoint made
    before it would leave the validation out on resume.

    Args:
        every_n_steps: steps between checkpoints.
    """

    def __init__(self, every_n_steps: Annotated[int, Field(ge=1)] = 100):
        self.every_n_steps = every_n_steps
        self.config: dict[str, Any] = {}
        self.finished = False
        self.fit_seconds = 0.0
        self._since = 0.0
        self._saved_at = 0
        self._signal: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.monotonic()
        self._saved_at = trainer.global_step
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)  # Lightning has set its own by now and restores the user's later

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:  # asked twice: end at once
            raise SystemExit(128 + number)
        self._signal = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        assert fetcher is not None  # it has just given a batch
        # Not between the batches of one accumulated step, whose gradient no checkpoint holds, nor before a validation.
        in_between = loop._should_accumulate() or loop._should_check_val_fx(fetcher)
        if not loop.batch_progress.is_last_batch and not in_between:
            self._save_where_due(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.max_steps == -1:  # else Lightning would count the epoch twice on resume: the next batch's end serves
            self._save_where_due(trainer, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.finished = True
        self._save(trainer)
        self._end_where_signalled(trainer, self._signalled(trainer))

    def _save_where_due(self, trainer: Trainer, epochs_done: int) -> None:
        steps_reached = 0 <= trainer.max_steps <= trainer.global_step
        if trainer.should_stop or steps_reached or epochs_done == trainer.max_epochs:
            return  # training ends here: `on_train_end` says so in the checkpoint, else a resumed run would not know
        signalled = self._signalled(trainer)
        if signalled or trainer.global_step - self._saved_at >= self.every_n_steps:
            self._save(trainer)
        self._end_where_signalled(trainer, signalled)

    def _signalled(self, trainer: Trainer) -> bool:
        """Whether any process of the run was asked to end."""
        return trainer.strategy.reduce_boolean_decision(self._signal is not None, all=False)

    def _end_where_signalled(self, trainer: Trainer, signalled: bool) -> None:
        if signalled:
            number = self._signal or signal.SIGTERM
            log.info(f"stopped by {signal.Signals(number).name} at step {trainer.global_step}, saved {LAST}")
            raise SystemExit(128 + number)

    def _save(self, trainer: Trainer) -> None:
        self._saved_at = trainer.global_step
        trainer.save_checkpoint(os.path.join(trainer.default_root_dir, LAST))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds our entry to every checkpoint, best.ckpt included, and lets none be made of broken weights."""
        weights = [weight for weight in pl_module.parameters() if weight.numel() > 0]
        if not all(bool(weight.detach().isfinite().all()) for weight in weights):
            raise RunFailed(
                f"training diverged: weights are not finite at step {trainer.global_step}; checkpoints written before "
                "are kept. Lower method.learning_rate and start again with overwrite=true"
            )
        now = time.monotonic()
        self.fit_seconds, self._since = self.fit_seconds + now - self._since, now
        checkpoint[ENTRY] = {
            "version": lit_unlearn.__version__,
            "config": self.config,
            "finished": self.finished,
            "fit_seconds": self.fit_seconds,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.fit_seconds = checkpoint[ENTRY]["fit_seconds"]


def read(path: str | Path) -> dict[str, Any]:
    """A checkpoint of this program, on the CPU, read with `weights_only=True`.

    Raises:
        UserError: the file is absent, empty, cut short, would run code, or was made by another program.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"checkpoint={path}: no such file; a run's checkpoints are best.ckpt and last.ckpt in its folder"
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path}: empty (0 bytes); use another checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused, it holds more than tensors and plain values and could run code when loaded, or is no "
            "checkpoint at all; use a checkpoint of this program"
        ) from error
    except (
        Exception
    ) as error:  # torch's reader raises anything, KeyError and IndexError too, on bytes that are not its own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: damaged or cut short ({reason}); use another checkpoint") from error
    if not isinstance(checkpoint, Mapping) or ENTRY not in checkpoint:
        raise UserError(f"{path}: made by another program; use a checkpoint of this one")
    return dict(checkpoint)


def newest_good(run_dir: Path, method_target: str) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint a run goes on from, with its contents: last.ckpt, else the one before; names what it passes over.

    Args:
        run_dir: the run's folder.
        method_target: class of the run's method; a checkpoint of another method is passed over.
    """
    for path in (run_dir / LAST, run_dir / PREVIOUS):
        if not path.exists():
            continue
        try:
            checkpoint = read(path)
        except UserError as error:
            log.info(f"passed over {error}")
            continue
        made_by = checkpoint[ENTRY]["config"]["method"]["_target_"]
        if made_by == method_target:
            return path, checkpoint
        log.info(f"passed over {path}: it belongs to another method, {made_by}")
    return None


def load_method(path: str | Path) -> tuple[LightningModule, dict[str, Any]]:
    """The trained method in a checkpoint, in eval mode on the CPU, and the configuration of its run.

    Raises:
        UserError: see `read`; or the configuration in the file names something that may not be built.
    """
    checkpoint = read(path)
    config = checkpoint[ENTRY]["config"]
    method = nodes.build(config["method"])
    method.on_load_checkpoint(checkpoint)
    method.load_state_dict(checkpoint["state_dict"])
    return method.eval(), config


def load_data(path: str | Path, **changed: Any) -> LightningDataModule:
    """The data module of a checkpoint's run with what it measured of its training data, not yet set up.

    Args:
        path: a checkpoint.
        changed: arguments of the data module to replace, such as `data_root`; those it does not have are left out.
    """
    checkpoint = read(path)
    node = checkpoint[ENTRY]["config"]["data"]
    data = nodes.build(node | {key: value for key, value in changed.items() if key in node})
    if type(data).__qualname__ in checkpoint:
        data.load_state_dict(checkpoint[type(data).__qualname__])
    return data
