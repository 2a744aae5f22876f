"""Two processes compute what one does, and can be killed and resumed.

Tolerances: DDP in float64 to 1e-9 of the single process, FSDP2 (which takes no float64) in float32 to 1e-4, relative.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.program import DIGITS, run

pytestmark = pytest.mark.slow

SHORT = [DIGITS, "run_dir=run", "trainer.max_epochs=4", "evaluate=false"]
TWO = ["trainer.accelerator=cpu", "trainer.devices=2"]
FSDP = ["trainer=fsdp", *TWO, "trainer.strategy.process_group_backend=gloo"]


def weights(folder: Path, *arguments: str) -> dict[str, Tensor]:
    """Weights and buffers at the end of a run."""
    folder.mkdir(exist_ok=True)
    ended = run("fit", *SHORT, *arguments, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return torch.load(folder / "run" / "last.ckpt", weights_only=True)["state_dict"]


def assert_close(one: dict[str, Tensor], two: dict[str, Tensor], relative: float) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=relative, atol=relative, msg=lambda text, n=name: f"{n}: {text}"
        )


# LOE ranks the items of the whole batch; both have batch statistics and a loss that is not linear in batch means.
@pytest.mark.parametrize("method", ["pu_svdd", "loe"])
def test_ddp_is_one_process(tmp_path: Path, method: str):
    one = weights(tmp_path / "one", f"method={method}", "trainer.precision=64-true")
    two = weights(tmp_path / "two", f"method={method}", "trainer.precision=64-true", "trainer=ddp", *TWO)
    assert_close(one, two, 1e-9)


def test_fsdp_is_one_process(tmp_path: Path):
    one = weights(tmp_path / "one")
    assert_close(one, weights(tmp_path / "two", *FSDP), 1e-4)


@pytest.mark.parametrize("strategy", [["trainer=ddp", *TWO], FSDP], ids=["ddp", "fsdp"])
def test_a_run_on_two_processes_goes_on_to_equal_bits(tmp_path: Path, strategy: list[str]):
    """The run is left with the checkpoint of a step in the middle of an epoch, as a kill would leave it."""
    whole = weights(tmp_path / "whole", *strategy, "callbacks.last.every_n_steps=7")
    # 16 steps: checkpoints at 7 and 14 (and, finished, at 16); the second last is that of step 14, inside an epoch.
    middle = tmp_path / "whole" / "run" / "previous.ckpt"
    assert torch.load(middle, weights_only=True)["global_step"] == 14
    stopped = tmp_path / "stopped"
    (stopped / "run").mkdir(parents=True)
    for name in ("previous.ckpt", "config.yaml"):
        (stopped / "run" / name).write_bytes((tmp_path / "whole" / "run" / name).read_bytes())
    resumed = weights(stopped, *strategy, "callbacks.last.every_n_steps=7")
    assert whole.keys() == resumed.keys()
    assert [name for name, value in whole.items() if not torch.equal(value, resumed[name])] == []
