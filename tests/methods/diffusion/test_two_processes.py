"""The PU risk on two processes gives what one gives, gradients and running means included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.pu_diffusion import held_back
from tests.diffusion_data import build_method

PARTS = [slice(0, 2), slice(2, 5)]
"""Samples of each process, both of U and of S: they differ in number."""


def results(rows: slice) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """The risk of these samples, its gradient by a weight that all processes share, and the running means."""
    generator = torch.Generator().manual_seed(0)
    unlabeled, labelled = torch.rand(2, 1, 5, generator=generator, dtype=torch.float64)
    timesteps = torch.tensor([[3, 40, 41, 77, 99]])
    found = {}
    for name, values in {"positive": {"beta": 0.1}, "negative": {"beta": 0.9, "sensitive_weight": 2.0}}.items():
        method = build_method("pu_diffusion", **values).double()
        weight = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        u, s, t = (part[:, rows] for part in (unlabeled * weight, labelled * weight, timesteps))
        method.usual.update(u[0], t[0])
        loss = method.risk(u[0], held_back(s, t, method.usual(t), 4.0, 10, 90))
        found[name] = (loss.detach(), torch.autograd.grad(loss, weight)[0], method.usual.means)
    return found


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path):
    environment = os.environ | {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.methods.diffusion.test_two_processes", str(tmp_path)]
    root = Path(__file__).parents[3]
    runs = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}, cwd=root) for rank in range(2)]
    assert [run.wait(timeout=200) for run in runs] == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, (loss, gradient, means) in results(slice(None)).items():
        for part in parts:
            torch.testing.assert_close(part[name][0], loss, rtol=1e-12, atol=0)
            torch.testing.assert_close(part[name][2], means, rtol=1e-12, atol=0)
        averaged = torch.stack([part[name][1] for part in parts]).mean(0)  # as DDP does
        torch.testing.assert_close(averaged, gradient, rtol=1e-10, atol=1e-14)


def one_of_two(folder: Path) -> None:
    """One process of the test above."""
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(results(PARTS[rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    one_of_two(Path(sys.argv[1]))
