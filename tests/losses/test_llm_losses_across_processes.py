"""Every loss of language models and latent vectors on two processes gives what one gives, gradients included."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.losses.alignment_objectives import OBJECTIVES, TARGET
from tests.losses.llm_losses import LOSSES, problem
from tests.two_processes import in_two_processes

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


def results_of(rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Those of one of two processes."""
    return results(PARTS[rank])


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path):
    parts = in_two_processes(results_of, tmp_path)
    for name, (loss, gradient) in results(slice(None)).items():
        for part in parts:
            torch.testing.assert_close(part[name][0], loss, rtol=1e-12, atol=0, msg=lambda m, n=name: f"{n}: {m}")
        averaged = torch.stack([part[name][1] for part in parts]).mean(0)  # as DDP does
        torch.testing.assert_close(averaged, gradient, rtol=1e-10, atol=1e-14, msg=lambda m, n=name: f"{n}: {m}")
