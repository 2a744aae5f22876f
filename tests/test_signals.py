"""How a run ends that cannot go on: asked to, without room on the disk, or with broken weights. Nothing is lost."""

import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from datamodules.anomaly.batches import PUBatch
from lit_unlearn import checkpoint
from lit_unlearn.errors import RunFailed
from lit_unlearn.fit import fit
from lit_unlearn.methods.anomaly.pu_svdd import PUSVDD
from tests.program import DIGITS, Process, differences, last, wait_for

SHORT = [DIGITS, "run_dir=run", "evaluate=false", "trainer.max_epochs=3"]  # of four steps each
LONG = [DIGITS, "run_dir=run", "evaluate=false", "trainer.max_epochs=60", "callbacks.last.every_n_steps=40"]
BEST = ["experiment=pu_svdd/fashion_mnist", "data=digits", "run_dir=run", "evaluate=false", "trainer.max_epochs=3"]
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; the run is in `run`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def in_step(number: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Changes the objective in one optimiser step, counted from 1, and in those after it."""
    objective = PUSVDD.objective

    def changed(self: PUSVDD, batch: PUBatch) -> Tensor:
        loss = objective(self, batch)
        return change(loss) if self.global_step + 1 >= number else loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PUSVDD, "objective", changed)
        yield


def ask_to_end(number: signal.Signals, times: int = 1) -> Callable[[Tensor], Tensor]:
    def ask(loss: Tensor) -> Tensor:
        assert signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler)  # else pytest would end
        for _ in range(times):
            os.kill(os.getpid(), number)
        return loss

    return ask


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize("step", [1, 4, 6, 12])  # the first, the last of an epoch, one in the middle, the last of all
def test_asked_to_end_it_saves_and_goes_on_to_the_same_bits(
    number: signal.Signals, step: int, folder: Path, capsys: pytest.CaptureFixture[str]
):
    handlers = {n: signal.getsignal(n) for n in STATUS}
    with in_step(step, ask_to_end(number)), pytest.raises(SystemExit) as ended:
        fit(SHORT)
    assert ended.value.code == STATUS[number]
    assert f"stopped by {number.name} at step {step}, saved last.ckpt" in capsys.readouterr().out
    assert last(Path("run"))["global_step"] == step
    assert {n: signal.getsignal(n) for n in STATUS} == handlers  # a program that calls `fit` gets its own back
    fit(SHORT)
    resumed = last(Path("run"))
    fit([*SHORT, "overwrite=true"])
    assert differences(resumed, last(Path("run")), ignored=("fit_seconds", "overwrite")) == []


def test_asked_twice_it_ends_at_once(folder: Path):
    with in_step(6, ask_to_end(signal.SIGINT, times=2)), pytest.raises(SystemExit) as ended:
        fit(SHORT)
    assert ended.value.code == 130
    assert not Path("run/last.ckpt").exists()  # did not wait for the step's end


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_process_asked_to_end(number: signal.Signals, tmp_path: Path):
    path = tmp_path / "run" / "last.ckpt"
    process = Process(tmp_path, *LONG)
    assert wait_for(path.exists, process), process.output()
    process.send(number)
    assert process.wait() == STATUS[number], process.output()
    (step,) = re.findall(rf"stopped by {number.name} at step (\d+), saved last.ckpt", process.output())
    assert last(path.parent)["global_step"] == int(step) > 40
    assert "Traceback" not in process.output()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "moment"), [(signal.SIGINT, "config.yaml"), (signal.SIGTERM, "figures")])
def test_asked_to_end_before_or_after_training(number: signal.Signals, moment: str, tmp_path: Path):
    process = Process(tmp_path, *SHORT, "evaluate=true")
    assert wait_for((tmp_path / "run" / moment).exists, process), process.output()
    process.send(number)
    assert process.wait() == STATUS[number], process.output()
    assert "Traceback" not in process.output()
    assert not (tmp_path / "run" / "report.json").exists()


def contents(run_dir: Path) -> dict[str, bytes]:
    """All files but what TensorBoard appends to."""
    files = (path for path in run_dir.rglob("*") if path.is_file() and "tfevents" not in path.name)
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files}


@contextmanager
def disk_with_room_for(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond this; the system says so in the middle of a write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [50_000, 150_000])  # a checkpoint has 300,000
def test_a_full_disk_leaves_the_checkpoints_whole(num_bytes: int, folder: Path):
    with in_step(6, ask_to_end(signal.SIGTERM)), pytest.raises(SystemExit):
        fit(SHORT)
    before = contents(Path("run"))
    with (
        pytest.raises(
            RunFailed, match="checkpoint could not be written .*File too large.*; those written before are whole"
        ),
        disk_with_room_for(num_bytes),
    ):
        fit(SHORT)
    assert contents(Path("run")) == before
    fit(SHORT)  # there is room again
    resumed = last(Path("run"))
    fit([*SHORT, "overwrite=true"])
    assert differences(resumed, last(Path("run")), ignored=("fit_seconds", "overwrite")) == []


@pytest.mark.parametrize("step", [6, 8])  # the middle and the end of the second epoch; each ends with a validation
def test_broken_weights_do_not_replace_good_ones(step: int, folder: Path):
    """NaN scores could even look like the best ranking ever, and did."""
    kept: dict[str, Any] = {}

    def breaks(loss: Tensor) -> Tensor:
        kept.setdefault("before", contents(Path("run")))
        return loss * float("nan")

    with (
        in_step(step, breaks),
        pytest.raises(RunFailed, match=r"training diverged: weights are not finite at step \d+"),
    ):
        fit([*BEST, "callbacks.last.every_n_steps=4"])
    assert {"last.ckpt", "best.ckpt"} <= set(kept["before"])
    assert contents(Path("run")) == kept["before"]


def test_broken_weights_are_found_at_the_next_checkpoint(folder: Path):
    with in_step(6, lambda loss: loss * float("nan")), pytest.raises(RunFailed, match="not finite at step 7;"):
        fit([*SHORT, "callbacks.last.every_n_steps=7"])
    assert not Path("run/last.ckpt").exists()


@pytest.mark.slow
def test_a_run_that_diverges_ends_with_one_line_and_status_1(tmp_path: Path):
    process = Process(tmp_path, *SHORT, "method.learning_rate=1e30")
    assert process.wait() == 1
    (line,) = (tmp_path / "stderr").read_text().splitlines()
    assert re.match(
        r"error: training diverged: .*Lower method.learning_rate and start again with overwrite=true$", line
    )
    assert not (tmp_path / "run" / checkpoint.LAST).exists()
