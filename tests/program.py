"""Running the program in tests: as the command a user types, or as a process that starts fast.

Starting Python and importing torch takes seconds. Where a test needs a process (to kill it, to have two of them) but
not the start itself, `Process` forks one from a server that has imported the libraries already.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from lit_unlearn import (
    checkpoint,
    command_line,
    evaluate as evaluate_program,
    extract as extract_program,
    fit as fit_program,
)

ROOT = Path(__file__).parent.parent
DIGITS = "experiment=pu_svdd/digits"
LOG = [
    *("experiment=log_electra/generated", "data.num_lines=1500", "data.num_labelled=10", "data.vocab_size=300"),
    *("data.lines_per_epoch=64", "data.batch_size=16", "data.labelled_batch_size=4"),
    *("model.hidden=16", "model.layers=1", "model.generator_hidden=16"),
]
"""The logs domain's embedded experiment with a small network: four steps an epoch, of milliseconds."""
PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "fit": fit_program.main,
    "evaluate": evaluate_program.main,
    "extract": extract_program.main,
}
IMPORTED = [
    "lightning.pytorch",
    "torch.utils.tensorboard",
    "torchmetrics",
    "hydra",
    "pydantic",
    "sklearn.datasets",
    "sklearn.ensemble",
    "tokenizers",
    "transformers.models.electra.modeling_electra",
]


IGNORED = (
    "fit_seconds",
    "current_score",  # what ModelCheckpoint saved last: written into its state, neither restored nor used
)


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"lit_unlearn.{program}", *arguments]


def environment(**changed: str) -> dict[str, str]:
    """The environment of a started process: this checkout first, one thread, no network, no trace of a launcher."""
    launchers = ("LOCAL_RANK", "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
    inherited = {key: value for key, value in os.environ.items() if key not in launchers}
    return inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | changed


def run(program: str, *arguments: str, cwd: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m lit_unlearn.<program>` to its end in a folder, with changes of the environment."""
    return subprocess.run(
        command(program, *arguments), cwd=cwd, env=environment(**changed), capture_output=True, text=True, timeout=240
    )


class Process:
    """A forked process that runs a program's command line in a folder; `stdout` and `stderr` are files there.

    Args:
        cwd: the folder, made if need be.
        arguments: of the command line.
        program: `fit`, `evaluate` or `extract`.
        stdin: the file that is its standard input.
        changed: changes of the environment.
    """

    def __init__(
        self, cwd: Path, *arguments: str, program: str = "fit", stdin: Path = Path(os.devnull), **changed: str
    ):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        cwd.mkdir(parents=True, exist_ok=True)
        self.cwd = cwd
        given = (program, list(arguments), cwd, stdin.absolute(), environment(**changed))
        self.process = context.Process(target=_serve, args=given)
        self.process.start()

    def wait(self, seconds: float = 120) -> int:
        """The exit status, as `subprocess` gives it.

        Raises:
            TimeoutError: the process did not end; it has been killed.
        """
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"the process had not ended after {seconds} s:\n{self.output()}")
        return self.process.exitcode

    def kill(self) -> None:
        """SIGKILL to the process and all it started."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):  # it may have ended, or not yet be the leader of a group
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def is_alive(self) -> bool:
        return self.process.is_alive()

    def output(self) -> str:
        return "".join((self.cwd / name).read_text() for name in ("stdout", "stderr") if (self.cwd / name).exists())


def _serve(program: str, arguments: list[str], cwd: Path, stdin: Path, changed: dict[str, str]) -> None:
    os.setsid()  # a group of its own, to be killed as a whole
    multiprocessing.set_start_method(None, force=True)  # loader processes start as they do elsewhere
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(changed)
    sys.stdin = stdin.open()  # multiprocessing has closed the one it came with
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    torch.set_num_threads(1)
    sys.argv = [f"lit_unlearn/{program}.py", *arguments]
    sys.exit(command_line.run(PROGRAMS[program]))


def wait_for(condition: Callable[[], bool], process: Any, seconds: float = 120) -> bool:
    """Waits until the condition holds or the process has ended; whether it holds."""
    end = time.monotonic() + seconds
    while not condition():
        ended = process.poll() is not None if isinstance(process, subprocess.Popen) else not process.is_alive()
        if ended:
            return condition()
        if time.monotonic() > end:
            raise TimeoutError(f"nothing happened for {seconds} s")
        time.sleep(0.002)
    return True


def last(run_dir: Path) -> dict[str, Any]:
    return checkpoint.read(run_dir / checkpoint.LAST)


def differences(a: Any, b: Any, path: str = "", ignored: tuple[str, ...] = IGNORED) -> list[str]:
    """Where two checkpoints differ, in values, types, shapes or bits of tensors; NaN equals NaN.

    Args:
        ignored: keys at any depth that may differ.
    """
    if type(a) is not type(b):
        return [f"{path}: {type(a).__name__} and {type(b).__name__}"]
    if isinstance(a, dict):
        different = [] if list(a) == list(b) else [f"{path}: keys {list(a)} and {list(b)}"]
        common = (key for key in a if key in b and key not in ignored)
        return different + [line for key in common for line in differences(a[key], b[key], f"{path}/{key}", ignored)]
    if isinstance(a, list | tuple):
        different = [] if len(a) == len(b) else [f"{path}: lengths {len(a)} and {len(b)}"]
        pairs = enumerate(zip(a, b, strict=False))
        return different + [line for i, (x, y) in pairs for line in differences(x, y, f"{path}[{i}]", ignored)]
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bits(a), _bits(b))
        return [] if same else [f"{path}: {a.flatten()[:3]} and {b.flatten()[:3]}"]
    return [] if a == b else [f"{path}: {a!r} and {b!r}"]


def _bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().flatten().view(torch.uint8)
