"""The PU risk on two processes gives what one gives, gradients and running means included."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_unlearn import config
from lit_unlearn.losses.pu_diffusion import held_back
from tests.diffusion_data import build_method, small
from tests.program import differences, last, wait_for
from tests.test_distributed import Pair
from tests.two_processes import in_two_processes

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


def results_of(rank: int) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Those of one of two processes."""
    return results(PARTS[rank])


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path):
    parts = in_two_processes(results_of, tmp_path)
    for name, (loss, gradient, means) in results(slice(None)).items():
        for part in parts:
            torch.testing.assert_close(part[name][0], loss, rtol=1e-12, atol=0)
            torch.testing.assert_close(part[name][2], means, rtol=1e-12, atol=0)
        averaged = torch.stack([part[name][1] for part in parts]).mean(0)  # as DDP does
        torch.testing.assert_close(averaged, gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
def test_killed_it_goes_on_to_equal_bits(tmp_path: Path):
    """Two processes, each with noise of its own, and the moving average; killed once and started again."""
    name = "experiment=pu_diffusion/digits"
    line = [name, *small(config.compose([name])), "run_dir=run", "evaluate=false", "trainer.max_epochs=6"]
    line += ["callbacks.last.every_n_steps=4", "trainer=ddp", "trainer.devices=2"]
    Pair(tmp_path / "whole", *line).wait()
    killed, path = Pair(tmp_path / "killed", *line), tmp_path / "killed" / "run" / "last.ckpt"
    assert wait_for(path.exists, killed), killed.ranks[0].output()
    killed.kill()
    assert not last(path.parent)["lit_unlearn"]["finished"]
    Pair(tmp_path / "killed", *line).wait()
    assert (tmp_path / "killed" / "stdout").read_text().count("going on from") == 1
    assert differences(last(tmp_path / "whole" / "run"), last(path.parent)) == []
