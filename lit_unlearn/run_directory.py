"""The folder of a run: what may be started there, what is kept, and what a fresh start removes."""

import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from lit_unlearn import checkpoint, config as configuration, nodes
from lit_unlearn.command_line import first_process
from lit_unlearn.errors import UserError
from lit_unlearn.progress import progress
from lit_unlearn.report import write_atomically

log = logging.getLogger(__name__)

CONFIG, REPORT, LOCK = "config.yaml", "report.json", ".lock"
OURS = (
    "hparams.yaml",
    *(checkpoint.LAST, checkpoint.PREVIOUS, checkpoint.BEST),
    ".*.ckpt.part",
    "evaluation-*",
    "report.*",
    "events.out.tfevents.*",
    "projector_config.pbtxt",
    "[0-9][0-9][0-9][0-9][0-9]",  # a step: what TensorBoard's projector shows
    "figures",
    "attacks",  # what AutoAttack found
    "export",
    ".report.*",
    f".{CONFIG}.*",
    CONFIG,  # the last to be removed: it tells that the folder is ours
)


def is_finished(run_dir: Path) -> bool:
    """Whether the run there ended; its report is the last thing a run writes."""
    return (run_dir / REPORT).is_file()


def start(config: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Decides where a run starts from; writes nothing.

    Returns:
        the checkpoint to go on from and its contents, or None for a fresh start.

    Raises:
        UserError: a finished run, a run of another configuration or a foreign folder is in the way, the folder cannot
            be written, or `resume` names a checkpoint that cannot be used.
    """
    run_dir, overwrite = Path(config["run_dir"]), config["overwrite"]
    _check_writable(run_dir)
    occupied = _is_occupied(run_dir)
    if occupied and not (run_dir / CONFIG).is_file():
        raise UserError(
            f"run_dir={run_dir}: holds files but no {CONFIG}, so it is no run of ours; choose another run_dir"
        )
    found = None
    if occupied:
        there = yaml.safe_load((run_dir / CONFIG).read_text())
        if is_finished(run_dir) and not overwrite:
            raise UserError(
                f"run_dir={run_dir}: holds a finished run{_difference(there, config)}; its report.md is there. "
                "Give overwrite=true to replace it, or another run_dir"
            )
        same = configuration.config_sha(there) == configuration.config_sha(config)
        if not is_finished(run_dir) and config["resume"] != "never" and any(run_dir.glob("*.ckpt")):
            if same:
                found = checkpoint.newest_good(run_dir, config["method"]["_target_"])
            elif not overwrite:
                raise UserError(
                    f"run_dir={run_dir}: holds an unfinished run of another configuration{_difference(there, config)}. "
                    "Start it again as it was to go on, or give overwrite=true or another run_dir"
                )
    if found is None and config["resume"] not in ("auto", "never"):
        found = _named(config)
    return found


def prepare(config: dict[str, Any], found: tuple[Path, dict[str, Any]] | None) -> None:
    """Makes the folder, removes what a fresh start replaces, and writes the configuration.

    Raises:
        UserError: the folder cannot be written.
    """
    run_dir = Path(config["run_dir"])
    if first_process():
        if _is_occupied(run_dir) and (found is None or found[0].parent != run_dir):
            _remove(run_dir)
        elif found and found[0] == run_dir / checkpoint.PREVIOUS:
            (run_dir / checkpoint.LAST).unlink(missing_ok=True)  # damaged; the next save would put it in place of this
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(run_dir / CONFIG, yaml.safe_dump(config, sort_keys=False))
        except OSError as error:
            raise UserError(f"run_dir={run_dir}: cannot be written ({error}); choose another run_dir") from error
    if found:
        log.info(f"going on from {found[0]} at step {found[1]['global_step']}")


@contextmanager
def held(config: dict[str, Any]) -> Iterator[None]:
    """Keeps a second start of the same run out while this one works; the system lets go when the process ends.

    Raises:
        UserError: another process holds the run.
    """
    if not first_process():
        yield
        return
    run_dir = Path(config["run_dir"])
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"run_dir={run_dir}: cannot be written ({error}); choose another run_dir") from error
    with (run_dir / LOCK).open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: loader processes do not inherit it
        except OSError as error:
            raise UserError(
                f"run_dir={run_dir}: another process is at work there; wait for it, or give another run_dir"
            ) from error
        yield


def _is_occupied(run_dir: Path) -> bool:
    """Whether there is more than what a kill in the middle of writing the configuration leaves."""
    return run_dir.is_dir() and not all(path.match(f".{CONFIG}.*") or path.name == LOCK for path in run_dir.iterdir())


def _named(config: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    path = Path(config["resume"])
    if not path.is_file():
        raise UserError(f"resume={path}: no such file; allowed: auto, never, or the path of a checkpoint")
    if path.resolve().parent == Path(config["run_dir"]).resolve():
        raise UserError(f"resume={path}: lies in the run's own folder; resume=auto goes on from there, or give run_dir")
    contents = checkpoint.read(path)
    made_by = contents[checkpoint.ENTRY]["config"]["method"]["_target_"]
    if made_by != config["method"]["_target_"]:
        raise UserError(
            f"resume={path}: belongs to another method, {made_by}; this run is {config['method']['_target_']}"
        )
    if contents[checkpoint.ENTRY]["finished"]:
        raise UserError(
            f"resume={path}: training had ended there; evaluate it: python -m lit_unlearn.evaluate checkpoint={path}"
        )
    return path, contents


def _check_writable(run_dir: Path) -> None:
    existing = next(folder for folder in (run_dir, *run_dir.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise UserError(f"run_dir={run_dir}: {existing} is a file; choose another run_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"run_dir={run_dir}: {existing} cannot be written; choose another run_dir or change its rights")


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    lines = list(configuration.differences(configuration.deciding(there), configuration.deciding(here)))
    return f" ({'; '.join(lines[:5])}{'; ...' if len(lines) > 5 else ''})" if lines else ""


def _remove(run_dir: Path) -> None:
    """Removes what a run writes and nothing else."""
    for pattern in OURS:
        for path in run_dir.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def trainer(config: dict[str, Any], callbacks: list[Callback], found: tuple[Path, dict[str, Any]] | None) -> Trainer:
    """Lightning's Trainer for a run, writing into its folder.

    Args:
        callbacks: the run's; the progress display is added.
        found: what the run goes on from, see `start`.
    """
    for callback in callbacks:
        if isinstance(callback, checkpoint.SaveLast):
            callback.config = config
    return nodes.build(
        config["trainer"],
        # What saves the run's state comes last: the state of the others belongs into it.
        callbacks=[*sorted(callbacks, key=lambda callback: isinstance(callback, checkpoint.SaveLast)), progress()],
        logger=tensorboard(config, purge_step=found[1]["global_step"] if found else None),
        plugins=[checkpoint.AtomicCheckpointIO()],
        default_root_dir=config["run_dir"],
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )


def tensorboard(config: dict[str, Any], purge_step: int | None = None) -> TensorBoardLogger:
    """The run's TensorBoard log, in its folder; `purge_step` hides what a killed run logged beyond its checkpoint."""
    return TensorBoardLogger(config["run_dir"], name="", version="", default_hp_metric=False, purge_step=purge_step)
