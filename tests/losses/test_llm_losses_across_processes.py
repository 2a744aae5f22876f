"""Every loss of language models and latent vectors on two processes gives what one gives, gradients included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.losses.alignment_objectives import OBJECTIVES, TARGET
from tests.losses.llm_losses import LOSSES, problem

PARTS = [slice(0, 2), slice(2, 5)]
"""Rows of each process: they differ in number, and in how many labelled tokens they have."""


def results(rows: slice) -> dict[str, tuple[Tensor, Tensor]]:
    """Each loss of these rows and its gradient with respect to a weight that all processes share."""
    p = problem().rows(rows)
    found = {}
    for name, case in LOSSES.items():
        weight = torch.linspace(0.5, 1.5, 6, dtype=torch.float64, requires_grad=True)
        loss = case.loss(p.at(p.logits * weight))
        found[name] = (loss.detach(), torch.autograd.grad(loss, weight)[0])
    for name, objective in OBJECTIVES.items():
        weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
        loss = objective(TARGET[rows] * weight, rows)
        found[name] = (loss.detach(), torch.autograd.grad(loss, weight)[0])
    return found


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path):
    environment = os.environ | {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.losses.test_llm_losses_across_processes", str(tmp_path)]
    root = Path(__file__).parents[2]
    runs = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}, cwd=root) for rank in range(2)]
    assert [run.wait(timeout=200) for run in runs] == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, (loss, gradient) in results(slice(None)).items():
        for part in parts:
            torch.testing.assert_close(part[name][0], loss, rtol=1e-12, atol=0, msg=lambda m, n=name: f"{n}: {m}")
        averaged = torch.stack([part[name][1] for part in parts]).mean(0)  # as DDP does
        torch.testing.assert_close(averaged, gradient, rtol=1e-10, atol=1e-14, msg=lambda m, n=name: f"{n}: {m}")


def one_of_two(folder: Path) -> None:
    """One process of the test above."""
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(results(PARTS[rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    one_of_two(Path(sys.argv[1]))
