"""What a user gets wrong: a line that says what, the value, what is allowed and the next step; nothing is written."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.idx import write_idx
from lit_unlearn.evaluate import evaluate
from lit_unlearn.fit import fit
from tests.datamodules.image_folders import write_cifar_folder, write_idx_folder
from tests.program import DIGITS, Process, run, wait_for
from tests.refusals import assert_lines, folder as folder, refused, tree

SHORT = [DIGITS, "trainer.max_epochs=1", "evaluate=false"]
FASHION = ["experiment=pu_svdd/fashion_mnist", "data_root=data"]


def test_no_experiment():
    assert_lines(refused(), [r"experiment=: no experiment is named; choose one of .*pu_svdd/digits"])


def test_names_that_do_not_exist_and_misspelt_keys_at_once():
    lines = refused("experiment=pu_svdd/digit", "method=deep_sat", "data=mnits", "trainer=tpu", "sed=1")
    patterns = [
        r"experiment=pu_svdd/digit: no such experiment; did you mean pu_svdd/digits\?; allowed: .*pu_svdd/mnist",
        r"method=deep_sat: no such method; did you mean deep_sad\?; allowed: abc, ",
        r"data=mnits: no such data; did you mean mnist\?; allowed: .*digits",
        r"trainer=tpu: no such trainer; .*allowed: cpu, ddp, fsdp, gpu$",
        r"sed=1: no such key; did you mean seed\?; allowed: experiment, seed, ",
    ]
    assert_lines(lines, patterns)


def test_a_misspelt_experiment_key():
    lines = refused("experimnt=pu_svdd/digits")
    patterns = [r"experiment=: no experiment is named", r"experimnt=.*no such key; did you mean experiment\?"]
    assert_lines(lines, patterns)


def test_all_errors_of_a_configuration_at_once():
    lines = refused(
        *(DIGITS, "sed=1", "overwrite=perhaps", "requires=pu_svdd/mnist"),
        *("model.representaton=3", "model.network=conf"),
        *("method.alfa=0.1", "method.alpha=1", "method.learning_rate=fast", "method.correction=nnpo"),
        *("data.contaminaton=0.1", "data.contamination=-0.5", "data.normal_class=10", "data.batch_size=3.5"),
        *("trainer.max_epoch=3", "trainer.max_epochs=0", "trainer.precision=12", "trainer.logger=false"),
        *("callbacks.last.every=3", "callbacks.extra.patience=3"),
        *("callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping", "callbacks.stop.mode=max"),
    )
    patterns = [
        r"sed=1: no such key; did you mean seed\?; allowed: experiment, seed, run_dir",
        r"overwrite='perhaps': should be a valid boolean",
        r"requires='pu_svdd/mnist': should be a valid list",
        r"model\.representaton=3: no such key; did you mean representation\?; allowed: network, representation",
        r"method\.network='conf': should be 'auto', 'conv', 'lenet' or 'mlp'; did you mean conv\?",
        r"method\.alfa=0\.1: no such key; did you mean alpha\?; allowed: .*loss_scale",
        r"method\.alpha=1: should be less than 1 or should be 'estimate'",
        r"method\.learning_rate='fast': should be a valid number",
        r"method\.correction='nnpo': should be 'abs', 'clamp', 'nnpu' or 'none'; did you mean nnpu\?",
        r"data\.contaminaton=0\.1: no such key; did you mean contamination\?; allowed: .*num_labelled",
        r"data\.contamination=-0\.5: should be greater than or equal to 0",
        r"data\.normal_class=10: should be less than or equal to 9",
        r"data\.batch_size=3\.5: should be a valid integer",
        r"trainer\.max_epoch=3: no such key; did you mean max_epochs\?",
        r"trainer\.max_epochs=0: nothing would be trained; give more",
        r"trainer\.precision=12: should be ",
        r"trainer\.logger=False: .*|trainer\.logger: set by the program; leave it out",
        r"callbacks\.last\.every=3: no such key; allowed: every_n_steps",
        r"callbacks\.extra\._target_: missing; choose an option of callbacks or give the class to build",
        r"callbacks\.stop\.monitor: missing; give callbacks\.stop\.monitor=\.\.\.",
    ]
    assert_lines(lines, patterns)


@pytest.mark.parametrize(
    ("override", "pattern"),
    [
        ("seed=-1", r"seed=-1: should be greater than or equal to 0"),
        ("method.alpha=-0.1", r"method\.alpha=-0\.1: should be greater than or equal to 0 or should be 'estimate'"),
        ("method.alpha=nan", r"method\.alpha=nan: should be less than 1 or should be 'estimate'"),
        ("method.alpha=guess", r"method\.alpha='guess': should be a valid number or should be 'estimate'"),
        ("method.learning_rate=nan", r"method\.learning_rate=nan: should be greater than 0"),
        ("method=null", r"method=None: no such method; allowed: abc, "),
        ("callbacks=null", r"callbacks=None: should be a valid dictionary"),
        ("callbacks.last=null", r"callbacks\.last: missing; keep it, the report and a resumed run are made from last"),
        ("method.learning_rate=0.1=2", r"method\.learning_rate=0\.1=2: not of the form key=value .*; quote special"),
        ("seed", r"seed: not of the form key=value"),
        ("run_dir=${nope}", r"the configuration cannot be composed: Interpolation key 'nope' not found"),
        ("trainer.accelerator=abacus", r"lightning\.Trainer: .*invalid accelerator name.*abacus.*Available names are:"),
        ("trainer.accelerator=tpu", r"lightning\.Trainer: .*torch_xla"),
        ("trainer.devices=0", r"lightning\.Trainer: .*devices=0.* not a valid input"),
        ("trainer.strategy=ddp_spwn", r"lightning\.Trainer: .*invalid strategy name.*ddp_spwn"),
        ("trainer.enable_checkpointing=false", r"lightning\.Trainer: .*enable_checkpointing=False"),
        ("resume=maybe", r"resume=maybe: no such file; allowed: auto, never, or the path of a checkpoint"),
        (
            "method.pretrained=no.ckpt",
            r"method\.pretrained=no\.ckpt: cannot take its encoder \(.*No such file.*\); give a",
        ),
    ],
)
def test_a_single_error(override: str, pattern: str):
    assert_lines(refused(DIGITS, override), [pattern])


ALLOWED = r".*may not be built from a configuration; allowed: lit_unlearn\., datamodules\., lightning\.Trainer, "


@pytest.mark.parametrize(
    ("override", "patterns"),
    [
        ("method._target_=os.system", [r"method\._target_='os\.system': " + ALLOWED]),
        ("callbacks.mine._target_=subprocess.Popen", [r"callbacks\.mine\._target_='subprocess\.Popen': " + ALLOWED]),
        (
            "trainer.profiler._target_=builtins.eval",
            [r"trainer\.profiler\._target_='builtins\.eval': " + ALLOWED],
        ),
        (
            "data.hidden=[{_target_:os.system}]",
            [r"data\.hidden=.*: no such key", r"data\.hidden\[0\]\._target_='os\.system': " + ALLOWED],
        ),
        ("method._target_=3", [r"method\._target_=3: " + ALLOWED]),
        (
            "method._target_=lit_unlearn.methods.anomaly.pu_svdd.PUSVD",
            [r"method\._target_=.*: cannot be imported \(.*no attribute 'PUSVD'.*\); check the spelling"],
        ),
        ("data._target_=lit_unlearn.nodes.build", [r"data\._target_=.*: not a class; give a class"]),
    ],
)
def test_only_what_is_on_the_list_is_built(override: str, patterns: list[str]):
    assert_lines(refused(DIGITS, override), patterns)


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        (
            ["data.num_labelled=0"],
            r"data\.num_labelled=0: no labelled anomaly \(positive\) to learn from; give at least 1",
        ),
        (["data.num_normal=1000"], r"data\.num_normal=1000: .*there are 124; use at most 103"),
        (["data.num_labelled=5000"], r".*data\.num_labelled=5000: this needs .*and there are 1003; lower data\."),
        (
            ["data.unseen_class=0"],
            r"data\.unseen_class=0: is the normal class too .*; choose two different classes of 0 to 9",
        ),
    ],
)
def test_more_than_the_data_can_give(overrides: list[str], pattern: str):
    assert_lines(refused(*SHORT, *overrides), [pattern])


IMAGES = "data/fashion_mnist/train-images-idx3-ubyte.gz"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (
        Path.unlink,
        r"data_root=data: folder data/fashion_mnist lacks train-images-idx3-ubyte\.gz; get them from",
    ),
    "cut short": (
        lambda path: path.write_bytes(path.read_bytes()[:-50]),
        rf"{IMAGES}: cut short or damaged .*; get the file anew",
    ),
    "other size": (
        lambda path: write_idx(path, np.zeros((400, 32, 32), np.uint8)),
        rf"{IMAGES}: pictures of 32x32 pixels, must be 28x28; get the file anew",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_not_as_they_should_be(damage: str):
    write_idx_folder(Path("data/fashion_mnist"))
    change, pattern = DAMAGES[damage]
    change(Path(IMAGES))
    assert_lines(refused(*FASHION), [pattern])


@pytest.mark.parametrize(
    ("experiment", "pattern"),
    [
        ("fashion_mnist", r"data_root=data: no folder data/fashion_mnist with train-images-.*; get them from https://"),
        ("mnist", r"data_root=data: no folder data/mnist with train-images-.*; get them from https://"),
        ("cifar10", r"data_root=data: no folder data/cifar10 with plain_text/train-.*; get them from https://"),
        ("adbench", r"data_root=data: no folder data/adbench with files such as 6_cardio\.npz; get them from https://"),
    ],
)
def test_no_data(experiment: str, pattern: str):
    (line,) = refused(f"experiment=pu_svdd/{experiment}", "data_root=data")
    assert re.match(pattern, line), line
    assert "set data_root (or LIT_UNLEARN_DATA)" in line


def test_a_shard_of_cifar_is_missing():
    shard = "plain_text/train-00001-of-00002.parquet"
    (write_cifar_folder(Path("data/cifar10")) / shard).unlink()
    assert_lines(
        refused("experiment=pu_svdd/cifar10", "data_root=data"), [rf"data_root=data: folder .* lacks {shard}; get"]
    )


def test_a_row_of_a_table_is_not_a_number():
    x, y = np.random.default_rng(0).normal(size=(200, 4)), np.repeat([0, 1], [150, 50])
    x[17, 2] = np.nan
    Path("data/adbench").mkdir(parents=True)
    np.savez("data/adbench/6_cardio.npz", X=x, y=y)
    pattern = (
        r"data/adbench/6_cardio\.npz, X: row 17 \(the first is 0\) holds NaN.*\(1 of 200 rows do\); remove the rows"
    )
    assert_lines(refused("experiment=pu_svdd/adbench", "data_root=data"), [pattern])


def test_a_network_for_pictures_on_a_table():
    x, y = np.random.default_rng(0).normal(size=(400, 4)), np.repeat([0, 1], [300, 100])
    Path("data/adbench").mkdir(parents=True)
    np.savez("data/adbench/6_cardio.npz", X=x, y=y)
    lines = refused("experiment=pu_svdd/adbench", "data_root=data", "model.network=conv")
    assert_lines(lines, [r"network=conv: needs pictures \(C, H, W\), the data have shape \(4,\); use mlp"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    fit([DIGITS, "trainer.max_epochs=1", f"run_dir={run_dir}"])
    return run_dir


def copied(run_dir: Path, *left_out: str) -> None:
    """Puts a run's files, but for some, into `run`."""
    Path("run").mkdir()
    for path in run_dir.iterdir():
        if path.is_file() and path.name not in left_out:
            Path("run", path.name).write_bytes(path.read_bytes())


def test_a_finished_run(finished: Path):
    copied(finished)
    same = [DIGITS, "trainer.max_epochs=1", "run_dir=run"]
    pattern = r"run_dir=run: holds a finished run; .*Give overwrite=true to replace it, or another run_dir"
    assert_lines(refused(*same), [pattern])
    assert_lines(refused(*same, "resume=never"), [pattern])
    (line,) = refused(*same, "method.learning_rate=0.5")
    assert "holds a finished run (method.learning_rate was " in line and "and is 0.5)" in line


def test_an_unfinished_run_of_another_configuration(finished: Path):
    copied(finished, "report.json")
    (line,) = refused(DIGITS, "trainer.max_epochs=2", "run_dir=run", "data.batch_size=7")
    assert line.startswith("run_dir=run: holds an unfinished run of another configuration (")
    assert "data.batch_size was 32 and is 7" in line and "trainer.max_epochs was 1 and is 2" in line
    assert line.endswith("or give overwrite=true or another run_dir")


def test_a_folder_of_something_else():
    Path("run").mkdir()
    Path("run/thesis.tex").write_text("years of work")
    for overrides in ([], ["overwrite=true"], ["resume=never"]):
        lines = refused(*SHORT, "run_dir=run", *overrides)
        assert_lines(lines, [r"run_dir=run: holds files but no config\.yaml, so it is no run of ours; choose another"])


def test_overwriting_leaves_what_a_run_did_not_write(finished: Path):
    copied(finished)
    Path("run/notes.txt").write_text("mine")
    fit([*SHORT, "run_dir=run", "overwrite=true"])
    assert Path("run/notes.txt").read_text() == "mine"
    assert not Path("run/report.json").exists()


def test_a_run_directory_that_cannot_be_written():
    Path("file").write_text("in the way")
    for run_dir in ("file", "file/run"):
        pattern = rf"run_dir={run_dir}: .*file is a file; choose another run_dir"
        assert_lines(refused(*SHORT, f"run_dir={run_dir}"), [pattern])
    lines = refused(*SHORT, "run_dir=/proc/run")  # nobody can write there, not even root
    assert_lines(lines, [r"run_dir=/proc/run: .*cannot be written.*choose another run_dir"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_directory_without_the_right_to_write():
    Path("locked").mkdir(mode=0o500)
    assert_lines(refused(*SHORT, "run_dir=locked/run"), [r"run_dir=locked/run: .*locked cannot be written; choose"])


@pytest.mark.slow
def test_a_run_that_another_process_is_at_work_on(folder: Path):
    endless = [DIGITS, f"run_dir={folder}/run", "trainer.max_epochs=-1", "callbacks.last.every_n_steps=1"]
    first = Process(folder / "first", *endless)
    assert wait_for((folder / "run" / "last.ckpt").exists, first), first.output()
    second = Process(folder / "second", *endless)
    assert second.wait() == 2
    pattern = r"error: run_dir=.*/run: another process is at work there; wait for it, or give another run_dir"
    assert_lines((folder / "second" / "stderr").read_text().splitlines(), [pattern])
    assert first.is_alive()
    first.kill()


def test_a_checkpoint_to_resume_from_that_cannot_serve(finished: Path):
    checkpoint = finished / "last.ckpt"
    (line,) = refused(*SHORT, f"resume={checkpoint}")
    assert "training had ended there; evaluate it: python -m lit_unlearn.evaluate checkpoint=" in line
    (line,) = refused(*SHORT, "method=deep_svdd", f"resume={checkpoint}")
    assert "belongs to another method, lit_unlearn.methods.anomaly.pu_svdd.PUSVDD; this run is " in line


def test_evaluating_without_a_checkpoint():
    patterns = [r"checkpoint=no\.ckpt: no such file; a run's checkpoints are best\.ckpt and last\.ckpt in its folder"]
    assert_lines(refused("checkpoint=no.ckpt", program=evaluate), patterns)
    (line,) = refused(program=evaluate)
    assert "checkpoint" in line


def assert_says_it_and_ends(status: int, stdout: str, stderr: str, patterns: list[str]) -> None:
    assert status == 2
    assert [line for line in stdout.splitlines() if not line.startswith("data: ")] == []  # what had been read by then
    assert_lines(stderr.splitlines(), [f"error: {pattern}" for pattern in patterns])


WRONG = (
    DIGITS,
    "sed=1",
    "method.alpha=1",
    "data.contaminaton=0.1",
    "trainer.max_epochs=many",
    "callbacks.last.every=3",
)
WRONG_LINES = [
    r"sed=1: no such key; did you mean seed\?",
    r"method\.alpha=1: should be less than 1",
    r"data\.contaminaton=0\.1: no such key; did you mean contamination\?",
    r"trainer\.max_epochs='many': should be a valid integer",
    r"callbacks\.last\.every=3: no such key; allowed: every_n_steps",
]


@pytest.mark.slow
def test_the_command_says_it_and_ends_with_status_2(folder: Path):
    ended = run("fit", *WRONG, cwd=folder)
    assert_says_it_and_ends(ended.returncode, ended.stdout, ended.stderr, WRONG_LINES)
    assert tree() == {}


@pytest.mark.slow
def test_so_do_the_command_lines(finished: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory):
    commands = [
        (["fit", "experiment=nothing"], r"experiment=nothing: no such experiment; allowed: "),
        (["fit", *FASHION], r"data_root=data: no folder"),
        (["fit", DIGITS, f"run_dir={finished}"], r"run_dir=.*: holds a finished run"),
        (["fit", DIGITS, "--verbose"], r"--verbose: no such option; allowed: --help, --config-dir DIR, and key=value"),
        (["fit", DIGITS, "--config-dir", "nowhere"], r"--config-dir nowhere: no such folder"),
        (["evaluate", "checkpoint=no.ckpt"], r"checkpoint=no\.ckpt: no such file"),
        (
            ["evaluate", f"checkpoint={finished}/last.ckpt", "input=new.npz"],
            r"output: missing; give output=scores\.csv",
        ),
    ]
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    processes = []
    for number, ((program, *arguments), pattern) in enumerate(commands):
        processes.append((Process(folder / str(number), *arguments, program=program), pattern))
    for process, pattern in processes:
        status = process.wait()
        assert sorted(path.name for path in process.cwd.iterdir()) == ["stderr", "stdout"]
        texts = [(process.cwd / name).read_text() for name in ("stdout", "stderr")]
        assert_says_it_and_ends(status, *texts, [pattern])
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
