"""What all command lines do around their work: help, errors as single lines, exit status, quiet libraries."""

import errno
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import lit_unlearn
from lit_unlearn import config as configuration
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.memory import keep_freed_memory

EXAMPLES = {
    "fit": """\
usage: python -m lit_unlearn.fit experiment=NAME [key=value ...] [--config-dir DIR]

Trains a method on a data set, evaluates it and writes a report. Examples:
  python -m lit_unlearn.fit experiment=pu_svdd/digits                         the smallest run, a few seconds
  python -m lit_unlearn.fit experiment=pu_svdd/digits method=deep_sad         the same problem, another method
  python -m lit_unlearn.fit experiment=pu_svdd/digits data=fashion_mnist      the same method, other data
  python -m lit_unlearn.fit experiment=pu_svdd/digits method.alpha=0.05 seed=1   any argument of anything
  python -m lit_unlearn.fit experiment=pu_svdd/digits trainer=ddp trainer.devices=8
The same command again goes on where a killed run stopped. --config-dir adds a folder with your own
experiment/, method/ and data/ files.""",
    "evaluate": """\
usage: python -m lit_unlearn.evaluate checkpoint=FILE [input=NEW_DATA output=scores.csv] [key=value ...]

Evaluates a trained method on its test data again, scores new data with it, or exports it. Examples:
  python -m lit_unlearn.evaluate checkpoint=checkpoints/pu_svdd/digits/seed0/last.ckpt
  python -m lit_unlearn.evaluate checkpoint=... input=new.npz output=scores.csv
  python -m lit_unlearn.evaluate checkpoint=... input=folder_of_pictures/ output=scores.csv
  python -m lit_unlearn.evaluate checkpoint=... input=app.log.gz output=anomalies.html   .csv, .jsonl: every line
  tail -f app.log | python -m lit_unlearn.evaluate checkpoint=... input=- output=-       every line as it comes
  python -m lit_unlearn.evaluate checkpoint=... export=detector.onnx             a log detector for other programs""",
    "extract": """\
usage: python -m lit_unlearn.extract model=MODEL concept="NAME" output=FOLDER [key=value ...]

Asks a language model what it knows of a concept. Its answers become a graph of triplets (subject | relation | object)
that it validates itself, with a sentence for each: what concept unlearning then removes. Examples:
  python -m lit_unlearn.extract model=checkpoints/lm_pretraining/biographies/seed0/export \\
      concept="Dekear Krabren" output=krabren                                    the embedded model, seconds
  python -m lit_unlearn.extract model=Qwen/Qwen3-0.6B concept="Marie Curie" 'aliases=[Curie, Maria Sklodowska]' \\
      output=curie                                                               a chat model from the hub
  python -m lit_unlearn.extract model=... concept=... output=again wordings=second   what unlearning has left
FOLDER/concept.jsonl is what training reads, concept.graphml the graph for other programs, concept.html a picture
that a browser shows without a network, generations.jsonl all that the model wrote.""",
}


def run(program: Callable[[list[str]], object]) -> int:
    """Runs a program on the command line's arguments and returns its exit status.

    0: done. 1: a run failed on its way, one line. 2: the user can put it right, one line an error. 130, 143: ended by
    SIGINT or SIGTERM. 141: the reader of the output went away. A bug keeps its traceback. Only the first process of a
    distributed run speaks.
    """
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(128 + number)
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)  # during training `SaveLast` has its own; Lightning's would end with status 1
    keep_freed_memory()
    try:
        check_packages()
        program(sys.argv[1:])
    except UserError as error:
        if first_process():
            print("\n".join(f"error: {line}" for line in error.lines), file=sys.stderr)
        return 2
    except RunFailed as error:
        if first_process():
            print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it closes it
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: {error}; checkpoints are whole. Make room and start the same command again", file=sys.stderr)
        return 1
    except Exception:
        if asked:  # an import that is cut short makes an ImportError of it
            return asked[0]
        raise
    return 0


def options(arguments: list[str], name: str) -> tuple[list[str], str | None]:
    """Splits the command line into Hydra overrides and the folder of --config-dir; prints the help and ends for --help.

    Raises:
        UserError: an option that does not exist.
    """
    overrides, config_dir, wants_help = [], None, False
    rest = iter(arguments)
    for argument in rest:
        option, _, value = argument.partition("=")
        if option == "--config-dir":
            config_dir = value or next(rest, "")
            if not os.path.isdir(config_dir):
                raise UserError(f"--config-dir {config_dir}: no such folder")
        elif argument in ("--help", "-h"):
            wants_help = True
        elif argument.startswith("-"):
            raise UserError(f"{argument}: no such option; allowed: --help, --config-dir DIR, and key=value")
        else:
            overrides.append(argument)
    if wants_help:
        print(help_text(name, config_dir))
        raise SystemExit(0)
    return overrides, config_dir


def help_text(name: str, config_dir: str | None = None) -> str:
    """Usage, keys, and every experiment, method, data set and trainer with a line on each."""
    lines = [EXAMPLES[name], "", "keys:"]
    lines += _columns({key: field.description or "" for key, field in configuration.SCHEMAS[name].model_fields.items()})
    for group in {"fit": configuration.GROUPS, "evaluate": ("trainer",)}.get(name, ()):
        lines += ["", f"{group}=", *_columns(configuration.choices(group, config_dir))]
    return "\n".join(lines)


def _columns(entries: dict[str, str]) -> list[str]:
    width = max(map(len, entries), default=0)
    return [f"  {name.ljust(width)}  {text}".rstrip() for name, text in entries.items()]


def speak() -> None:
    """Plain lines on standard output for what we say, silence for what Lightning says about itself."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("lit_unlearn", "datamodules"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO if first_process() else logging.ERROR)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in (
        "does not have many workers",
        "You are using LearningRateMonitor",
        "Checkpoint directory",
        "`isinstance.treespec",
        "The number of training batches",
        r"Found \d+ module\(s\) in eval mode",
    ):
        warnings.filterwarnings("ignore", f".*{advice}")


RANKS = ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables by which launchers number the processes of a job."""


def first_process() -> bool:
    """Whether this is the process of a job that writes and speaks; the launchers' variables tell before torch does."""
    return all(os.environ.get(rank, "0") == "0" for rank in RANKS)


def environment_of_one_process() -> dict[str, str]:
    """The environment without what a launcher has put there, for a process that is no part of the job."""
    launched = (*RANKS, "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
    return {name: value for name, value in os.environ.items() if name not in launched}


def check_packages() -> None:
    """Sees to it that `datamodules` is ours: under `python -m` a folder of that name where one is goes first.

    Raises:
        UserError: it is not.
    """
    import datamodules

    ours = Path(lit_unlearn.__file__).parent.parent
    found = Path(datamodules.__file__ or next(iter(datamodules.__path__))).resolve()
    if ours.resolve() not in found.parents:
        raise UserError(f"datamodules: found in {found} and not in {ours}; start the program from another folder")
