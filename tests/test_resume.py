"""A run that is killed at any moment and started again with the same command ends with the same bits."""

import copy
import functools
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from lit_unlearn import checkpoint, config
from lit_unlearn.fit import fit, run
from lit_unlearn.report import Report
from tests.program import DIGITS, LOG, Process, command, differences, environment, last, wait_for
from tests.test_experiments import experiment_of, small

THREE_EPOCHS = ["run_dir=run", "evaluate=false", "trainer.max_epochs=3", "callbacks.last.every_n_steps=1"]
SHORT = [DIGITS, *THREE_EPOCHS]
THIRTY_EPOCHS = ["run_dir=run", "evaluate=false", "trainer.max_epochs=30", "callbacks.last.every_n_steps=3"]
LONG = [DIGITS, *THIRTY_EPOCHS, "data.num_workers=0"]
LONG_LOG = [*LOG, *THIRTY_EPOCHS, "data.num_workers=0"]
EARLY_STOPPING = [
    *("experiment=pu_svdd/fashion_mnist", "data=digits", "run_dir=run", "evaluate=false", "seed=2"),
    *("data.batch_size=40", "callbacks.last.every_n_steps=1", "callbacks.early_stopping.patience=2"),
    *("method.learning_rate=0.002", "trainer.log_every_n_steps=1"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; the run is in `run`, so that it is the same command wherever the folder is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    """Composing takes as long as training here, and the same command composes to the same configuration."""
    made = config.compose(list(overrides))
    assert config.check(made) == []
    return made


def start_again(overrides: list[str]) -> None:
    run(copy.deepcopy(composed(*overrides)))


@contextmanager
def snapshots(folder: Path) -> Iterator[list[Path]]:
    """Copies of the folder's run, made whenever last.ckpt has been written: what a kill at that moment leaves."""
    taken: list[Path] = []
    write = checkpoint.AtomicCheckpointIO.save_checkpoint

    def write_and_copy(self, state, path, storage_options=None) -> None:
        write(self, state, path, storage_options)
        if Path(path).name == checkpoint.LAST:
            taken.append(folder / f"snapshot{len(taken)}")
            shutil.copytree(folder / "run", taken[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.AtomicCheckpointIO, "save_checkpoint", write_and_copy)
        yield taken


def put_back(snapshot: Path) -> None:
    shutil.rmtree("run", ignore_errors=True)
    shutil.copytree(snapshot, "run")


def test_from_every_step_with_early_stopping(folder: Path):
    with snapshots(folder) as taken:
        fit(EARLY_STOPPING)
    whole, best = last(Path("run")), checkpoint.read("run/best.ckpt")
    steps = whole["global_step"]
    assert best["global_step"] < steps < 3 * 200  # stopped early, beyond the best epoch
    assert [last(snapshot)["global_step"] for snapshot in taken] == list(range(1, steps + 1))  # epochs' ends among them
    for snapshot in taken:
        put_back(snapshot)
        start_again(EARLY_STOPPING)
        assert differences(whole, last(Path("run"))) == [], snapshot.name
        assert differences(best, checkpoint.read("run/best.ckpt")) == [], snapshot.name


@pytest.mark.parametrize(
    ("limit", "steps"), [("trainer.max_epochs=2", [1, 2, 3, 4, 5, 6, 7, 8]), ("trainer.max_steps=6", [1, 2, 3, 5, 6])]
)
def test_from_every_step_to_the_last(limit: str, steps: list[int], folder: Path):
    """With max_steps Lightning 2.6 resumes the end of an epoch wrongly, so no checkpoint is made there."""
    overrides = [*SHORT, limit]
    with snapshots(folder) as taken:
        fit(overrides)
    whole = last(Path("run"))
    assert [last(snapshot)["global_step"] for snapshot in taken] == steps
    for snapshot in taken:
        put_back(snapshot)
        start_again(overrides)
        assert differences(whole, last(Path("run"))) == [], snapshot.name


def problem_of(method: str) -> list[str]:
    """The command line of the method's domain."""
    domain = config.method_class(method).__module__.split(".")[2]
    known = {"anomaly": [DIGITS], "logs": LOG}
    return known[domain] if domain in known else made_small(method)


@functools.cache
def made_small(method: str) -> list[str]:
    """An embedded experiment that the method fits, made short."""
    line = [f"experiment={experiment_of(method, embedded=True)}"]
    return [*line, *small(config.compose([*line, f"method={method}"]))]


def is_of_llm(method: str) -> bool:
    return ".llm." in config.method_class(method).__module__


@pytest.mark.parametrize(
    "changed",
    [
        *([*problem_of(name), f"method={name}"] for name in config.choices("method") if not is_of_llm(name)),
        [DIGITS, "method=deep_svdd", "method.boundary=soft", "method.warmup_epochs=1"],
        [DIGITS, "method.alpha=estimate"],
        [DIGITS, "data.num_workers=2"],
        [*LOG, "data.num_workers=2"],
    ],
    ids=lambda changed: " ".join(
        key for key in changed if key != DIGITS and ("method" in key or "experiment" in key or "num_workers" in key)
    ),
)
def test_every_method_from_the_middle_of_an_epoch(changed: list[str], folder: Path):
    overrides = [*changed, *THREE_EPOCHS, "callbacks.last.every_n_steps=5"]
    with snapshots(folder) as taken:
        start_again(overrides)
    whole = last(Path("run"))
    put_back(taken[0])
    assert last(Path("run"))["global_step"] in (5, whole["global_step"])  # some have one step
    start_again(overrides)
    assert differences(whole, last(Path("run"))) == []


@pytest.mark.parametrize("method", ["lm_pretraining", "sae_unlearning", "npo", "pdu"])
def test_language_models_from_the_middle_of_an_epoch(method: str, folder: Path):
    """Two optimisers in one, tables of the untouched model, a multiplier: the others have no more state than these."""
    line = [f"experiment={experiment_of(method, embedded=True)}", f"method={method}"]
    short = [
        "trainer.max_epochs=2",
        "trainer.limit_train_batches=8",
        "callbacks.last.every_n_steps=5",
        "evaluate=false",
    ]
    overrides = [*line, *small(config.compose(line)), *short, "run_dir=run"]
    with snapshots(folder) as taken:
        start_again(overrides)
    whole = last(Path("run"))
    put_back(taken[0])
    assert last(Path("run"))["global_step"] == 5
    start_again(overrides)
    assert differences(whole, last(Path("run"))) == []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The last checkpoint of LONG, never stopped."""
    return ended(tmp_path_factory.mktemp("uninterrupted"), LONG)


def ended(folder: Path, overrides: list[str]) -> dict[str, Any]:
    """The last checkpoint of a run that nobody stops."""
    process = Process(folder, *overrides)
    assert process.wait() == 0, process.output()
    return last(folder / "run")


def written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # not yet, or between the two renames
        return 0


def kill_again_and_again(
    start: Callable[[], Any], kill: Callable[[Any], None], run_dir: Path, kills: int, rng: random.Random
) -> None:
    """Kills the run at a random moment after each start's first new checkpoint; lets the last start end."""
    path = run_dir / checkpoint.LAST
    for _ in range(kills):
        before = written_at(path)
        process = start()
        assert wait_for(lambda old=before: written_at(path) not in (0, old), process)
        time.sleep(rng.uniform(0, 0.1))
        kill(process)
        target = yaml.safe_load((run_dir / "config.yaml").read_text())["method"]["_target_"]
        found = checkpoint.newest_good(run_dir, target)
        assert found is not None and not found[1][checkpoint.ENTRY]["finished"]
    process = start()
    assert process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_at_random_moments(num_workers: int, uninterrupted: dict[str, Any], tmp_path: Path):
    def start() -> Process:
        return Process(tmp_path, *LONG, f"data.num_workers={num_workers}")

    def kill(process: Process) -> None:
        process.kill()
        assert process.wait() == -signal.SIGKILL

    kill_again_and_again(start, kill, tmp_path / "run", kills=7, rng=random.Random(num_workers))
    assert differences(uninterrupted, last(tmp_path / "run"), ignored=("fit_seconds", "num_workers")) == []


@pytest.mark.slow
def test_a_run_on_a_log_killed_at_random_moments(tmp_path: Path):
    """The vocabulary is learned anew at each start, and must be the one of the checkpoint."""
    whole = ended(tmp_path / "whole", LONG_LOG)
    for num_workers in (0, 2):
        folder = tmp_path / f"killed{num_workers}"

        def start(folder: Path = folder, num_workers: int = num_workers) -> Process:
            return Process(folder, *LONG_LOG, f"data.num_workers={num_workers}")

        kill_again_and_again(start, Process.kill, folder / "run", kills=2, rng=random.Random(num_workers))
        assert differences(whole, last(folder / "run"), ignored=("fit_seconds", "num_workers")) == []


@pytest.mark.slow
def test_the_command_killed_at_random_moments(uninterrupted: dict[str, Any], tmp_path: Path):
    """As a user has it: `python -m lit_unlearn.fit`, with loader processes that the kill leaves behind.

    Fewer kills than above: a start takes seconds here.
    """

    def start() -> subprocess.Popen[bytes]:
        line = command("fit", *LONG, "data.num_workers=2")
        return subprocess.Popen(line, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)

    def kill(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        assert process.wait() == -signal.SIGKILL

    kill_again_and_again(start, kill, tmp_path / "run", kills=2, rng=random.Random(2))
    assert differences(uninterrupted, last(tmp_path / "run"), ignored=("fit_seconds", "num_workers")) == []


@pytest.mark.slow
def test_killed_between_training_and_report(tmp_path: Path):
    overrides = [*SHORT, "evaluate=true"]
    undisturbed = Process(tmp_path / "undisturbed", *overrides)
    assert undisturbed.wait() == 0, undisturbed.output()

    run_dir = tmp_path / "killed" / "run"
    process = Process(tmp_path / "killed", *overrides)
    assert wait_for((run_dir / "figures").is_dir, process), process.output()
    process.kill()
    trained = last(run_dir)
    assert trained[checkpoint.ENTRY]["finished"] and not (run_dir / "report.json").exists()

    again = Process(tmp_path / "killed", *overrides)
    assert again.wait() == 0, again.output()
    assert differences(trained, last(run_dir), ignored=()) == []  # not trained again
    made, expected = (
        Report.from_json((folder / "report.json").read_text()) for folder in (run_dir, tmp_path / "undisturbed" / "run")
    )
    assert made.rows == expected.rows and made.cost.steps == expected.cost.steps


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of SHORT killed after step 8 (`run_dir`; previous.ckpt is of step 7), and how it ends (`whole`)."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch, snapshots(folder) as taken:
        patch.chdir(folder)
        fit(SHORT)
    return SimpleNamespace(run_dir=taken[7], whole=last(folder / "run"))


def keep(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def without_our_entry(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    del content[checkpoint.ENTRY]
    torch.save(content, path)


def of_another_method(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content[checkpoint.ENTRY]["config"]["method"]["_target_"] = "lit_unlearn.methods.anomaly.deep_svdd.DeepSVDD"
    torch.save(content, path)


DAMAGES = {
    "half": (lambda path: keep(path, 0.5), "damaged or cut short"),
    "a byte short": (lambda path: keep(path, 1 - 1e-6), "damaged or cut short"),
    "the first bytes": (lambda path: keep(path, 1e-4), "damaged or cut short"),
    "empty": (lambda path: path.write_bytes(b""), "empty (0 bytes)"),
    "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "damaged or cut short"),
    "opcodes of pickle": (lambda path: path.write_bytes(b"h\x05."), "damaged or cut short (5)"),  # a KeyError
    "text": (lambda path: path.write_text("not a checkpoint\n" * 99), "refused"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "made by another program"),
    "Lightning's": (without_our_entry, "made by another program"),
    "another method's": (
        of_another_method,
        "belongs to another method, lit_unlearn.methods.anomaly.deep_svdd.DeepSVDD",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_passed_over(
    name: str, stopped: SimpleNamespace, folder: Path, capsys: pytest.CaptureFixture[str]
):
    damage, reason = DAMAGES[name]
    put_back(stopped.run_dir)
    damage(Path("run/last.ckpt"))
    start_again(SHORT)
    lines = capsys.readouterr().out.splitlines()
    (passed_over,) = (line for line in lines if line.startswith("passed over "))
    assert "run/last.ckpt: " in passed_over and reason in passed_over
    assert "going on from run/previous.ckpt at step 7" in lines
    assert differences(stopped.whole, last(Path("run"))) == []


def test_a_damaged_checkpoint_does_not_push_out_the_good_one(stopped: SimpleNamespace, folder: Path):
    """A save renames last.ckpt to previous.ckpt; a kill right after it must not leave the damaged one alone."""
    put_back(stopped.run_dir)
    keep(Path("run/last.ckpt"), 0.5)
    with snapshots(folder) as taken:
        start_again(SHORT)
    assert checkpoint.read(taken[0] / "previous.ckpt")["global_step"] == 7


def test_without_a_good_checkpoint_it_starts_anew(
    stopped: SimpleNamespace, folder: Path, capsys: pytest.CaptureFixture[str]
):
    put_back(stopped.run_dir)
    for name in ("last.ckpt", "previous.ckpt"):
        keep(Path("run", name), 0.5)
    start_again(SHORT)
    output = capsys.readouterr().out
    assert output.count("passed over") == 2 and "going on" not in output
    assert differences(stopped.whole, last(Path("run"))) == []


def test_killed_between_the_two_renames(stopped: SimpleNamespace, folder: Path):
    put_back(stopped.run_dir)
    Path("run/last.ckpt").rename("run/.last.ckpt.part")
    start_again(SHORT)
    assert differences(stopped.whole, last(Path("run"))) == []
    assert not Path("run/.last.ckpt.part").exists()


@pytest.mark.parametrize("leftover", [".config.yaml.123", None])
def test_killed_before_its_configuration_was_written(leftover: str | None, stopped: SimpleNamespace, folder: Path):
    Path("run").mkdir()
    if leftover is not None:
        Path("run", leftover).write_text("experi")
    start_again(SHORT)
    assert differences(stopped.whole, last(Path("run"))) == []


def test_resume_from_a_named_checkpoint(stopped: SimpleNamespace, folder: Path):
    fit([*SHORT, f"resume={stopped.run_dir}/last.ckpt"])
    assert differences(stopped.whole, last(Path("run")), ignored=("fit_seconds", "resume")) == []


def test_resume_never_starts_anew(stopped: SimpleNamespace, folder: Path):
    put_back(stopped.run_dir)
    with snapshots(folder) as taken:
        fit([*SHORT, "resume=never"])
    assert last(taken[0])["global_step"] == 1
    assert differences(stopped.whole, last(Path("run")), ignored=("fit_seconds", "resume")) == []
