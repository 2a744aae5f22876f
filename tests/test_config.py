"""Composing, naming and building what a command line asks for."""

import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lit_unlearn import command_line, config, nodes
from lit_unlearn.errors import UserError
from lit_unlearn.fit import fit
from tests.program import DIGITS


def test_everything_is_resolved_into_plain_values():
    composed = config.compose([DIGITS, "seed=3"])
    assert yaml.safe_load(yaml.safe_dump(composed)) == composed
    assert composed["seed"] == composed["data"]["seed"] == composed["callbacks"]["step_seed"]["seed"] == 3
    assert composed["method"]["network"] == composed["model"]["network"]
    assert composed["method"]["alpha"] == composed["data"]["contamination"]
    assert composed["run_dir"] == "checkpoints/pu_svdd/digits/seed3"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "pu_svdd/digits"),
        (["method=pu_svdd"], "pu_svdd/digits"),  # its own
        (["method=deep_sad"], "pu_svdd/digits-method_deep_sad"),
        (["data=mnist"], "pu_svdd/digits-data_mnist"),
        (["data=mnist", "method=loe"], "pu_svdd/digits-method_loe-data_mnist"),
    ],
)
def test_runs_of_different_methods_and_data_never_collide(overrides: list[str], name: str):
    composed = config.compose([DIGITS, *overrides])
    assert composed["experiment"] == name
    assert composed["run_dir"] == f"checkpoints/{name}/seed0"


def test_the_problem_stays_when_another_method_is_chosen():
    own, other = (config.compose([DIGITS, f"method={name}"]) for name in ("pu_svdd", "deep_svdd"))
    assert other["method"]["_target_"].endswith(".DeepSVDD")
    assert other["method"]["representation"] == own["method"]["representation"] == own["model"]["representation"]
    for kept in ("data", "model", "trainer", "callbacks"):
        assert other[kept] == own[kept]
    assert "alpha" not in other["method"]  # which is PUSVDD's
    assert config.check(other) == []


def test_the_command_line_wins_over_the_experiment():
    composed = config.compose([DIGITS, "trainer.max_epochs=7", "model.representation=5", "method.loss_scale=2.5"])
    assert composed["trainer"]["max_epochs"] == 7
    assert composed["method"]["representation"] == 5
    assert composed["method"]["loss_scale"] == 2.5  # in the signature alone, and yet without Hydra's +


def test_data_root(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIT_UNLEARN_DATA", "/somewhere")
    assert config.compose(["experiment=pu_svdd/mnist"])["data"]["data_root"] == "/somewhere"
    monkeypatch.delenv("LIT_UNLEARN_DATA")
    monkeypatch.setenv("HOME", "/home/me")
    assert config.compose(["experiment=pu_svdd/mnist"])["data"]["data_root"] == "/home/me/.cache/lit_unlearn"
    assert config.compose(["experiment=pu_svdd/mnist", "data_root=/here"])["data"]["data_root"] == "/here"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own experiment, method file and data file."""
    files = {
        "experiment/mine/eights.yaml": """\
            # @package _global_
            # Eights against the rest
            defaults:
              - override /method: gentle
              - override /data: eights
              - _self_
            model:
              network: mlp
              representation: 4
            trainer:
              max_epochs: 1
            """,
        "method/gentle.yaml": """\
            # PUSVDD with a low learning rate
            _target_: lit_unlearn.methods.anomaly.pu_svdd.PUSVDD
            learning_rate: 1e-5
            alpha: ${data.contamination}
            network: ${model.network}
            representation: ${model.representation}
            """,
        "data/eights.yaml": """\
            # digits with eight as the normal class
            _target_: datamodules.anomaly.digits.Digits
            normal_class: 8
            contamination: 0.1
            seed: ${seed}
            """,
    }
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(textwrap.dedent(text))
    return tmp_path / "own"


def test_a_users_own_folder(own: Path, tmp_path: Path):
    overrides = ["experiment=mine/eights", f"run_dir={tmp_path}/run", "evaluate=false"]
    fit(overrides, str(own))
    there = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (there["experiment"], there["data"]["normal_class"]) == ("mine/eights", 8)
    assert there["method"]["learning_rate"] == 1e-5
    with pytest.raises(UserError, match=r"experiment=mine/eight: no such experiment; did you mean mine/eights\?"):
        fit(["experiment=mine/eight"], str(own))
    with pytest.raises(UserError, match=r"experiment=mine/eights: no such experiment"):
        fit(["experiment=mine/eights"])
    text = command_line.help_text("fit", str(own))
    assert "mine/eights" in text and "Eights against the rest" in text and "pu_svdd/digits" in text


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the runs that are started, in their order; none trains. Commands are carried out in this process."""
    folders: list[str] = []

    def finish(composed: dict[str, Any]) -> None:
        folders.append(composed["run_dir"])
        Path(composed["run_dir"]).mkdir(exist_ok=True)
        Path(composed["run_dir"], "report.json").touch()

    def carry_out(command: list[str], env: dict[str, str]) -> SimpleNamespace:
        assert command[:3] == [sys.executable, "-m", "lit_unlearn.fit"]
        if "seed=99" in command:
            return SimpleNamespace(returncode=2)
        fit(command[3:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr("lit_unlearn.fit.run", finish)
    monkeypatch.setattr("subprocess.run", carry_out)
    monkeypatch.chdir(tmp_path)
    return folders


def test_required_runs_come_first(started: list[str], capsys: pytest.CaptureFixture[str]):
    first = "experiment=pu_autoencoder/digits run_dir=first"
    command = [DIGITS, "run_dir=mine", f"requires=['{first}']"]
    fit(command)
    assert started == ["first", "mine"]
    assert f"required: no finished run in first; running {first} first" in capsys.readouterr().out
    fit(command)
    assert started == ["first", "mine", "mine"] and capsys.readouterr().out == ""  # it is there
    fit([*command[:2], "requires=['experiment=pu_svdd/digits run_dir=second']", "requires=[]"])
    assert started[3:] == ["mine"]  # turned off


def test_a_required_run_that_fails_ends_the_command(started: list[str]):
    with pytest.raises(SystemExit) as ended:
        fit([DIGITS, "run_dir=mine", f"requires=['{DIGITS} run_dir=first seed=99']"])
    assert ended.value.code == 2 and started == []


def test_the_hash_is_of_what_decides_the_result():
    composed = config.compose([DIGITS])
    same = composed | {"run_dir": "elsewhere", "resume": "never", "overwrite": True, "requires": ["experiment=a"]}
    assert config.config_sha(same) == config.config_sha(composed)
    assert config.config_sha(composed | {"seed": 1}) != config.config_sha(composed)
    changed = composed | {"method": composed["method"] | {"alpha": 0.2}}
    assert config.config_sha(changed) != config.config_sha(composed)


def test_differences_are_named_by_their_place():
    there = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    here = {"a": 1, "b": {"c": 5, "f": 6}, "e": [2]}
    lines = ["b.c was 2 and is 5", "b.d was 3 and is None", "b.f was None and is 6", "e was [1] and is [2]"]
    assert list(config.differences(there, here)) == lines


class Base:
    def __init__(self, x: int, y: str = "y"):
        pass


class Mixin:
    def __init__(self, z: float = 1.0, **others: Any):
        pass


class Both(Mixin, Base):
    def __init__(self, x: bool = True, **others: Any):
        pass


class Closed(Mixin, Base):
    def __init__(self, w: int):
        pass


def test_arguments_are_followed_through_keywords():
    assert nodes.arguments_of(Both) == {"x": (bool, True), "z": (float, 1.0), "y": (str, "y")}
    assert nodes.arguments_of(Closed) == {"w": (int, ...)}


def test_build_is_behind_the_list():
    refused = [
        {"_target_": "os.getcwd"},
        {"_target_": "lit_unlearn.config.choices", "group": "method"},
        {"_target_": "torch.optim.Adam", "params": [{"_target_": "builtins.dict"}]},
        {"_target_": "lightning.Trainer", "callbacks": {"deep": {"_target_": "subprocess.run", "args": ["true"]}}},
    ]
    for node in refused:
        with pytest.raises(UserError, match=r"may not be built|not a class"):
            nodes.build(node)
    assert nodes.build({"_target_": "lightning.pytorch.callbacks.Timer", "duration": {"seconds": 3}}) is not None


@pytest.mark.parametrize(
    ("arguments", "overrides", "config_dir"),
    [
        (["a=1", "--config-dir", "{}", "b=2"], ["a=1", "b=2"], "{}"),
        (["--config-dir={}", "a=1"], ["a=1"], "{}"),
        (["a=1"], ["a=1"], None),
    ],
)
def test_options_of_the_command_line(
    arguments: list[str], overrides: list[str], config_dir: str | None, tmp_path: Path
):
    arguments = [argument.format(tmp_path) for argument in arguments]
    assert command_line.options(arguments, "fit") == (overrides, config_dir and config_dir.format(tmp_path))


@pytest.mark.parametrize("name", ["fit", "evaluate"])
def test_help_describes_every_key(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command_line.options(["--help"], name)
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for key, field in config.SCHEMAS[name].model_fields.items():
        assert any(line.startswith(f"  {key} ") and field.description in line for line in lines), key
