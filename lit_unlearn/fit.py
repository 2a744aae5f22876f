"""Train a method on a data set, evaluate it, write a report: `python -m lit_unlearn.fit experiment=pu_svdd/digits`."""

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_unlearn import command_line, config as configuration, nodes
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from lightning import LightningDataModule

    from lit_unlearn.report import Report


def main(arguments: list[str]) -> None:
    """The command line: Hydra overrides, `--help`, `--config-dir DIR`."""
    overrides, config_dir = command_line.options(arguments, "fit")
    fit(overrides, config_dir)


def fit(overrides: list[str], config_dir: str | None = None) -> "Report | None":
    """Runs one experiment, and before it those it requires.

    Args:
        overrides: as on the command line, `["experiment=pu_svdd/digits", "seed=1"]`.
        config_dir: a folder with more experiment/, method/ and data/ files.

    Returns:
        the report; None where `evaluate=false`, and in all but the first process.

    Raises:
        UserError: what the user can put right; nothing has been written.
        RunFailed: training diverged, or a checkpoint could not be written.
    """
    config = configuration.compose(overrides, config_dir=config_dir)
    errors = configuration.check(config)
    if errors:
        raise UserError(errors)
    for required in config["requires"]:
        _require(shlex.split(required), config_dir)
    return run(config)


def _require(overrides: list[str], config_dir: str | None) -> None:
    """Runs an experiment in its own process unless its run has finished; other processes of the job wait for it."""
    from lit_unlearn import run_directory

    run_dir = Path(configuration.compose(overrides, config_dir=config_dir)["run_dir"])
    if run_directory.is_finished(run_dir):
        return
    if not command_line.first_process():
        while not run_directory.is_finished(run_dir):
            time.sleep(1)
        return
    print(f"required: no finished run in {run_dir}; running {shlex.join(overrides)} first", flush=True)
    command = [sys.executable, "-m", "lit_unlearn.fit", *overrides]
    command += ["--config-dir", config_dir] if config_dir else []
    status = subprocess.run(command, env=command_line.environment_of_one_process()).returncode
    if status != 0:
        raise SystemExit(status if status > 0 else 128 - status)


def run(config: dict[str, Any]) -> "Report | None":
    """Runs a checked configuration: data, method, folder, training, evaluation, report."""
    import lightning
    import torch

    from lit_unlearn import checkpoint, run_directory

    command_line.speak()
    data = nodes.build(config["data"])
    data.prepare_data()
    data.setup("fit")
    arguments = nodes.arguments_of(nodes.imported(config["method"]["_target_"]))
    config["method"] |= {name: getattr(data, name) for name in data.offers if name in arguments}

    lightning.seed_everything(config["seed"], verbose=False)
    # With deterministic algorithms torch also writes over all memory it allocates, at a cost in every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    method = nodes.build(config["method"])
    method.prepare_data()
    if hasattr(method, "check"):  # of the data, before anything is written
        method.check(data)
    callbacks = [nodes.build(node) for node in config["callbacks"].values() if node is not None]
    found = run_directory.start(config)
    trainer = run_directory.trainer(config, callbacks, found)
    with run_directory.held(config):
        run_directory.prepare(config, found)
        if found is None or not found[1][checkpoint.ENTRY]["finished"]:
            trainer.fit(method, datamodule=data, ckpt_path=str(found[0]) if found else None, weights_only=True)
        first = trainer.is_global_zero
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # what follows is the first process's alone
        if not config["evaluate"] or not first:
            return None
        return _report(config, data)


def _report(config: dict[str, Any], data: "LightningDataModule") -> "Report":
    """Evaluates what the checkpoint holds (not what is in memory), on one device, and writes the report."""
    from lit_unlearn import checkpoint, evaluation, report, run_directory
    from lit_unlearn.model_card import write_model_card

    run_dir = Path(config["run_dir"])
    weights = run_dir / (checkpoint.BEST if config["callbacks"].get("best") else checkpoint.LAST)
    method, result = evaluation.of(weights, data, evaluation.trainer(config["trainer"]))
    last = checkpoint.read(run_dir / checkpoint.LAST)
    made = report.Report(
        experiment=config["experiment"],
        method=nodes.component(config["method"]),
        data=nodes.component(config["data"]),
        seed=config["seed"],
        config_sha=configuration.config_sha(config),
        versions=report.versions(),
        hardware=report.hardware(),
        cost=report.Cost(round(last[checkpoint.ENTRY]["fit_seconds"], 2), last["global_step"], **report.peak_memory()),
        rows=result.rows,
        notes=result.notes,
        tables=result.tables,
    )
    logger = run_directory.tensorboard(config)
    result.write_figures(run_dir / "figures")
    result.log(logger.experiment, made.cost.steps)
    report.log_to_tensorboard(logger, made, config)
    logger.finalize("success")
    export: Any = getattr(method, "export", None)
    if export is not None:  # the result is a model that other libraries read
        export(run_dir / "export", data)
        write_model_card(run_dir / "export", made, config, getattr(data, "forgotten", []))
    made.write(run_dir)
    print(report.summary(made) + f"\n\n{run_dir}/report.md  tensorboard --logdir {run_dir}")
    return made


if __name__ == "__main__":
    sys.exit(command_line.run(main))
