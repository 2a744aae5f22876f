"""The wheel, installed elsewhere, runs from another working directory."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_configuration_and_no_tests(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if name.startswith("experiments/") and name.endswith(".yaml")}
    assert shipped == {path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments").rglob("*.yaml")}
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "checkpoints"))]


def test_an_installed_program_runs_from_another_directory(wheel: Path, tmp_path: Path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    fit = [sys.executable, "-m", "lit_unlearn.fit", "experiment=pu_svdd/digits", "trainer.max_epochs=2"]
    where = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(fit, cwd=elsewhere, env=where, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (elsewhere / "checkpoints" / "pu_svdd" / "digits" / "seed0" / "report.json").is_file()
    used = "import lit_unlearn, datamodules, experiments; print(lit_unlearn.__file__, datamodules.__file__)"
    found = subprocess.run([sys.executable, "-c", used], cwd=elsewhere, env=where, capture_output=True, text=True)
    assert all(path.startswith(str(site)) for path in found.stdout.split())
