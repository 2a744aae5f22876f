"""Evaluate a trained method again, or score new data with it: `python -m lit_unlearn.evaluate checkpoint=...`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_unlearn import command_line, config as configuration
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from lit_unlearn.evaluation.result import Evaluation


def main(arguments: list[str]) -> None:
    """The command line: Hydra overrides and `--help`."""
    overrides, config_dir = command_line.options(arguments, "evaluate")
    evaluate(overrides, config_dir)


def evaluate(overrides: list[str], config_dir: str | None = None) -> "Evaluation | None":
    """Runs the suite of the method's domain on its test data, scores `input` into `output`, or writes `export`.

    Args:
        overrides: as on the command line, `["checkpoint=checkpoints/pu_svdd/digits/seed0/last.ckpt"]`.
        config_dir: a folder with more trainer/ files.

    Returns:
        what was measured; None where new data were scored or the method was exported.

    Raises:
        UserError: what the user can put right; nothing has been written.
    """
    config = configuration.compose(overrides, "evaluate", config_dir)
    errors = configuration.check(config, "evaluate")
    if not errors and config["input"] is not None and config["export"] is not None:
        errors.append(f"export={config['export']}: not together with input; give one of them")
    if errors:
        raise UserError(errors)
    command_line.speak()
    if config["export"] is not None:
        _export(config)
    elif config["input"] is not None:
        _score(config)
    else:
        return _measure(config)
    return None


def _measure(config: dict[str, Any]) -> "Evaluation":
    """The suite, on the data set of the checkpoint's run."""
    from lit_unlearn import checkpoint, evaluation, report

    weights = Path(config["checkpoint"])
    moved = {} if config["data_root"] is None else {"data_root": config["data_root"]}
    data = checkpoint.load_data(weights, **moved)
    data.prepare_data()
    data.setup("test")
    _, result = evaluation.of(weights, data, evaluation.trainer(config["trainer"]))
    folder = Path(config["output"] or weights.parent / f"evaluation-{weights.stem}")
    result.write_figures(folder / "figures")
    print(report.plain_table(result.rows) + f"\n\n{folder}/figures")
    return result


def _score(config: dict[str, Any]) -> None:
    """Scores of new items, written to `output` or shown."""
    from lit_unlearn import checkpoint, evaluation

    output = config["output"]
    if output not in (None, "-"):
        _check_folder("output", output)
    method, made_with = checkpoint.load_method(config["checkpoint"])
    data = checkpoint.load_data(config["checkpoint"])
    score = evaluation.suite(made_with).score
    summary = score(method, data, evaluation.trainer(config["trainer"]), config["input"], output, config["layout"])
    print(summary, file=sys.stderr if output == "-" else sys.stdout)


def _export(config: dict[str, Any]) -> None:
    """The method as a file that other programs run."""
    from lit_unlearn import checkpoint, evaluation

    path = config["export"]
    _check_folder("export", path)
    method, made_with = checkpoint.load_method(config["checkpoint"])
    suite = evaluation.suite(made_with)
    if not hasattr(suite, "export"):
        raise UserError(f"export={path}: the methods of this domain cannot be exported; leave export out")
    suite.export(method, checkpoint.load_data(config["checkpoint"]), Path(path))
    print(f"exported: {path}")


def _check_folder(key: str, path: str) -> None:
    if not Path(path).parent.is_dir():
        raise UserError(f"{key}={path}: no folder {Path(path).parent}; make it first")


if __name__ == "__main__":
    sys.exit(command_line.run(main))
