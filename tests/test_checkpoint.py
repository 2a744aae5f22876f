"""Checkpoints: whole or not there, read without running code, and named when they cannot be used."""

import os
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_unlearn import checkpoint
from lit_unlearn.checkpoint import AtomicCheckpointIO
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.evaluate import evaluate
from lit_unlearn.fit import fit
from tests.program import DIGITS

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, not evaluated."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    fit([DIGITS, f"run_dir={folder}", "evaluate=false", "trainer.max_epochs=1"])
    return folder


@pytest.fixture(scope="module")
def good(run_dir: Path) -> Path:
    return run_dir / checkpoint.LAST


def one_line(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as error:
        call()
    (line,) = error.value.lines
    assert "\n" not in line
    return line


class CreatesAFile:
    """Unpickled, it would create the file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.fixture(params=["torch.save", "torch.save, old format", "pickle", "in a checkpoint of ours"])
def malicious(request: pytest.FixtureRequest, good: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A file that creates another when it is loaded without care, and that other one."""
    path, created = tmp_path / "malicious.ckpt", tmp_path / "created"
    evil = CreatesAFile(created)
    content = {"state_dict": evil, checkpoint.ENTRY: {"config": {}}}
    match request.param:
        case "torch.save":
            torch.save(content, path)
        case "torch.save, old format":
            torch.save(content, path, _use_new_zipfile_serialization=False)
        case "pickle":
            path.write_bytes(pickle.dumps(content))
        case _:
            torch.save(torch.load(good, weights_only=True) | {"hidden": evil}, path)
    return path, created


def load_carelessly(path: Path) -> None:
    if path.read_bytes()[:2] == b"\x80\x04":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)


def test_the_malicious_files_are_malicious(malicious: tuple[Path, Path]):
    path, created = malicious
    assert not created.exists()
    load_carelessly(path)
    assert created.exists()


ROUTES: dict[str, Callable[[Path, Path], Any]] = {
    "read": lambda path, run: checkpoint.read(path),
    "resume": lambda path, run: fit([DIGITS, f"run_dir={run}", f"resume={path}"]),
    "evaluate": lambda path, run: evaluate([f"checkpoint={path}"]),
    "pretrained": lambda path, run: fit([DIGITS, f"run_dir={run}", f"method.pretrained={path}"]),
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_pickle_that_would_run_code_is_refused(route: str, malicious: tuple[Path, Path], tmp_path: Path):
    path, created = malicious
    line = one_line(lambda: ROUTES[route](path, tmp_path / "run"))
    assert str(path) in line
    assert "refused" in line or "cannot take its encoder" in line
    assert not created.exists()
    assert not (tmp_path / "run").exists()


def test_as_the_last_checkpoint_of_a_run_it_is_passed_over(
    malicious: tuple[Path, Path], run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path, created = malicious
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_bytes((run_dir / "config.yaml").read_bytes())
    path.rename(run / checkpoint.LAST)
    fit([DIGITS, f"run_dir={run}", "evaluate=false", "trainer.max_epochs=1"])
    assert f"passed over {run}/last.ckpt: refused" in capsys.readouterr().out
    assert not created.exists()
    assert checkpoint.read(run / checkpoint.LAST)[checkpoint.ENTRY]["finished"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.system", "may not be built from a configuration; allowed: lit_unlearn., "),
        ("lit_unlearn.checkpoint.read", "not a class"),
        ("lit_unlearn.methods.anomaly.pu_svdd.PUSVD", "cannot be imported"),
    ],
)
@pytest.mark.parametrize("node", ["method", "data"])
def test_a_checkpoint_names_only_what_may_be_built(node: str, target: str, message: str, good: Path, tmp_path: Path):
    content = torch.load(good, weights_only=True)
    content[checkpoint.ENTRY]["config"][node]["_target_"] = target
    torch.save(content, tmp_path / "changed.ckpt")
    line = one_line(lambda: evaluate([f"checkpoint={tmp_path}/changed.ckpt"]))
    assert f"_target_={target!r}: {message}" in line


def test_no_such_file(tmp_path: Path):
    line = one_line(lambda: checkpoint.read(tmp_path / "absent.ckpt"))
    assert line.startswith(f"checkpoint={tmp_path}/absent.ckpt: no such file; a run's checkpoints are best.ckpt and")


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut short, zeroed from somewhere on, random bytes, or with changed bytes in the pickle."""
    at = rng.randrange(len(content))
    match rng.randrange(4):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes(len(content) - at)
        case 2:
            return rng.randbytes(rng.randrange(200))
        case _:
            changed, start = bytearray(content), content.find(b"data.pkl")
            for _ in range(3):
                changed[start + rng.randrange(5000)] = rng.randrange(256)
            return bytes(changed)


def test_damage_is_a_line_and_never_a_traceback(good: Path, tmp_path: Path):
    content, rng, refused = good.read_bytes(), random.Random(0), 0
    for _ in range(300):
        path = tmp_path / "damaged.ckpt"
        path.write_bytes(damaged(content, rng))
        try:
            checkpoint.read(path)
        except UserError as error:
            (line,) = error.lines
            assert line.startswith(f"{path}: ") and "\n" not in line
            refused += 1
    assert refused > 200  # a changed byte of a number cannot be noticed


def state(number: int) -> dict[str, Any]:
    return {"weights": torch.full((1000,), float(number)), checkpoint.ENTRY: {}}


def weight(path: Path) -> float:
    return checkpoint.read(path)["weights"][0].item()


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    sync, rename = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def record_rename(source: Path, target: Path) -> None:
        done.append(f"{Path(source).name} -> {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_rename)
    for number in (1, 2):
        AtomicCheckpointIO().save_checkpoint(state(number), tmp_path / "run" / "last.ckpt")
    written = ["sync .last.ckpt.part", ".last.ckpt.part -> last.ckpt", "sync run"]
    assert done == [*written, written[0], "last.ckpt -> previous.ckpt", *written[1:]]
    assert (weight(tmp_path / "run/last.ckpt"), weight(tmp_path / "run/previous.ckpt")) == (2, 1)


def test_only_last_keeps_a_previous(tmp_path: Path):
    for number in (1, 2):
        AtomicCheckpointIO().save_checkpoint(state(number), tmp_path / "best.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("call", ["os.fsync", "torch.save"])
def test_a_full_disk_leaves_what_was_there(name: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / name
    AtomicCheckpointIO().save_checkpoint(state(1), path)
    monkeypatch.setattr(call, full)
    message = f"{path}: the checkpoint could not be written ([Errno 28] No space left on device); those written before"
    with pytest.raises(RunFailed, match=re.escape(message)):
        AtomicCheckpointIO().save_checkpoint(state(2), path)
    assert weight(path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_bug_while_saving_keeps_its_traceback_and_what_was_there(tmp_path: Path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(state(1), path)
    with pytest.raises(Exception, match="local object|lambda"):
        AtomicCheckpointIO().save_checkpoint({"a function": lambda: None}, path)
    assert weight(path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_the_newest_good_one(good: Path, tmp_path: Path):
    target = "lit_unlearn.methods.anomaly.pu_svdd.PUSVDD"
    assert checkpoint.newest_good(tmp_path, target) is None
    (tmp_path / "previous.ckpt").write_bytes(good.read_bytes())
    found = checkpoint.newest_good(tmp_path, target)
    assert found is not None and found[0] == tmp_path / "previous.ckpt"
    (tmp_path / "last.ckpt").write_bytes(good.read_bytes())
    found = checkpoint.newest_good(tmp_path, target)
    assert found is not None and found[0] == tmp_path / "last.ckpt"
    assert checkpoint.newest_good(tmp_path, "lit_unlearn.methods.anomaly.loe.LOE") is None


def test_it_holds_what_a_user_needs_to_know(good: Path):
    content = checkpoint.read(good)
    entry = content[checkpoint.ENTRY]
    assert entry["config"]["experiment"] == "pu_svdd/digits"
    assert entry["config"]["method"]["_target_"].endswith(".PUSVDD")
    assert entry["finished"] and entry["fit_seconds"] > 0 and entry["version"]
    assert content["Digits"] == {"input_shape": [1, 8, 8]}


def test_a_method_comes_back_in_eval_mode_with_its_weights(good: Path):
    method, config = checkpoint.load_method(good)
    assert not method.training and config["experiment"] == "pu_svdd/digits"
    for key, value in torch.load(good, weights_only=True)["state_dict"].items():
        assert torch.equal(method.state_dict()[key], value), key


def test_data_comes_back_with_what_it_measured(good: Path):
    data = checkpoint.load_data(good, normal_class=3, data_root="is no argument of digits")
    assert data.normal_class == 3 and data.unseen_class == 9
    assert data.input_shape == [1, 8, 8]
    assert data.parts is None  # nothing read yet
