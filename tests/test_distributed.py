"""Two processes compute what one does, and can be killed and resumed.

Tolerances: DDP in float64 to 1e-9 of the single process, FSDP2 (which takes no float64) in float32 to 1e-4, relative.
The processes are started one by one, as SLURM and torchrun do it (forked, to save the imports); one test leaves that to
the command, as a user does. Pairs run one after the other: gloo jobs started at the same time hung.
"""

import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn import config
from tests.program import DIGITS, LOG, Process, differences, last, run, wait_for
from tests.test_experiments import small

pytestmark = pytest.mark.slow

SHORT = [DIGITS, "run_dir=run", "trainer.max_epochs=4", "evaluate=false"]
LONG = [DIGITS, "run_dir=run", "trainer.max_epochs=15", "evaluate=false", "callbacks.last.every_n_steps=3"]
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
FSDP = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy.process_group_backend=gloo"]
DOUBLE = "trainer.precision=64-true"
WITHOUT_NOISE = [  # each process draws its own: here every token is masked, and filled with the likeliest
    *(*LOG, "run_dir=run", "trainer.max_epochs=4", "evaluate=false"),
    *("method.mask_share=0.99999999", "method.greedy=true", "method.dropout=0.0"),
]


class Pair:
    """Two processes that run the same command as ranks 0 and 1 of one job."""

    def __init__(self, folder: Path, *arguments: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        self.ranks = [Process(folder, *arguments, LOCAL_RANK=rank, **where) for rank in ("0", "1")]

    def wait(self) -> None:
        statuses = [rank.wait() for rank in self.ranks]
        assert statuses == [0, 0], self.ranks[0].output()

    def kill(self) -> None:
        for rank in self.ranks:
            rank.kill()

    def is_alive(self) -> bool:
        return all(rank.is_alive() for rank in self.ranks)


def ended(folder: Path, *arguments: str) -> dict[str, Any]:
    """The last checkpoint of a run on one process, or on two where the arguments say so."""
    started = Pair(folder, *arguments) if "trainer.devices=2" in arguments else Process(folder, *arguments)
    status = started.wait()
    assert not status, started.ranks[0].output() if isinstance(started, Pair) else started.output()
    return last(folder / "run")


def assert_close(one: dict[str, Tensor], two: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


METHODS = {  # batch statistics and a loss that is not linear in batch means; ranks and quantiles over the whole batch
    "pu_svdd": [],
    "pu_autoencoder": ["method=pu_autoencoder"],
    "loe": ["method=loe", "method.warmup_epochs=1"],
    "deep_svdd": ["method=deep_svdd", "method.boundary=soft", "method.warmup_epochs=1"],
}


@pytest.mark.parametrize("method", METHODS)
def test_ddp_is_one_process(method: str, tmp_path: Path):
    one = ended(tmp_path / "one", *SHORT, *METHODS[method], DOUBLE)
    two = ended(tmp_path / "two", *SHORT, *METHODS[method], DOUBLE, *DDP)
    assert two["global_step"] == one["global_step"] == 16
    assert_close(one["state_dict"], two["state_dict"], 1e-9)


@pytest.mark.parametrize("method", ["pu_svdd", "loe"])
def test_fsdp_is_one_process(method: str, tmp_path: Path):
    one = ended(tmp_path / "one", *SHORT, *METHODS[method])
    two = ended(tmp_path / "two", *SHORT, *METHODS[method], *FSDP)
    assert two["global_step"] == one["global_step"] == 16
    assert_close(one["state_dict"], two["state_dict"], 1e-4)


@pytest.mark.parametrize(("strategy", "tolerance"), [([*DDP, DOUBLE], 1e-9), (FSDP, 1e-4)], ids=["ddp", "fsdp"])
def test_a_log_on_two_processes_is_one_process(strategy: list[str], tolerance: float, tmp_path: Path):
    """With the risk of labelled lines, which is not linear in batch means; lines of a batch differ in length."""
    both = [*WITHOUT_NOISE, "method=pu_log_electra", *([DOUBLE] if DOUBLE in strategy else [])]
    one, two = ended(tmp_path / "one", *both), ended(tmp_path / "two", *both, *strategy)
    assert two["global_step"] == one["global_step"] == 16
    assert_close(one["state_dict"], two["state_dict"], tolerance)


def test_the_command_starts_the_other_process_itself(tmp_path: Path):
    """And ends with a report, made by one process of what two have trained."""
    made = run("fit", *SHORT, *DDP, DOUBLE, "evaluate=true", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("data: 112 unlabeled items") == 1  # one of the two speaks
    assert (tmp_path / "run" / "report.json").is_file()
    assert_close(ended(tmp_path / "one", *SHORT, DOUBLE)["state_dict"], last(tmp_path / "run")["state_dict"], 1e-9)


@pytest.mark.parametrize("strategy", [DDP, FSDP], ids=["ddp", "fsdp"])
def test_killed_it_goes_on_to_equal_bits(strategy: list[str], tmp_path: Path):
    """Both processes are killed at random moments, and the job started again with the same command."""
    whole = ended(tmp_path / "whole", *LONG, *strategy)
    rng, path = random.Random(0), tmp_path / "killed" / "run" / "last.ckpt"
    for _ in range(2):
        before = path.stat().st_mtime_ns if path.exists() else None
        pair = Pair(tmp_path / "killed", *LONG, *strategy)
        assert wait_for(lambda old=before: path.exists() and path.stat().st_mtime_ns != old, pair), pair.ranks[
            0
        ].output()
        time.sleep(rng.uniform(0, 0.1))
        pair.kill()
        assert not (path.exists() and last(path.parent)["lit_unlearn"]["finished"])
    resumed = ended(tmp_path / "killed", *LONG, *strategy)
    assert (tmp_path / "killed" / "stdout").read_text().count("going on from") == 2
    assert differences(whole, resumed, ignored=("fit_seconds", "betas")) == []  # FSDP makes a list of that pair


LANGUAGE = {  # states up to a layer and tables of the untouched model; whole answers and a cached reference
    "sae_unlearning": ["method.learning_rate=1e-4"],  # Muon's bfloat16: a rounding is a step's hundredth
    "npo": ["method.retain={kl: 1.0}", "method.optimiser=muon"],
}


def language(method: str) -> list[str]:
    """A small language model that forgets, in one process."""
    line = ["experiment=sae_unlearning/biographies", f"method={method}", *LANGUAGE[method]]
    short = ["run_dir=run", "trainer.max_epochs=2", "trainer.limit_train_batches=4", "evaluate=false"]
    return [*line, *small(config.compose(line)), *short]


@pytest.mark.parametrize("method", LANGUAGE)
@pytest.mark.parametrize(("strategy", "tolerance"), [([*DDP, DOUBLE], 1e-9), (FSDP, 1e-4)], ids=["ddp", "fsdp"])
def test_a_language_model_on_two_processes_is_one_process(
    method: str, strategy: list[str], tolerance: float, tmp_path: Path
):
    both = [*language(method), *([DOUBLE] if DOUBLE in strategy else [])]
    one, two = ended(tmp_path / "one", *both), ended(tmp_path / "two", *both, *strategy)
    assert two["global_step"] == one["global_step"] == 8
    assert_close(one["state_dict"], two["state_dict"], tolerance)
