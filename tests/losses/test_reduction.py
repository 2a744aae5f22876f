"""Reductions over the whole batch: two gloo processes give what one gives, gradients included."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.outlier_exposure import exposure, latent_labels
from lit_unlearn.losses.pu import positive_inverse
from lit_unlearn.losses.reduction import batch_mean, gather
from lit_unlearn.networks.normalization import batch_norm
from tests.two_processes import in_two_processes


def objective(x: Tensor, weight: Tensor) -> Tensor:
    """A loss that is wrong if any part of it ends at the borders of a process: statistics, ranks, a squared mean."""
    distance = batch_norm(3).double()(x @ weight).square().sum(1)
    inverse = positive_inverse(distance)
    labels = latent_labels(distance, inverse, 0.3, "hard")
    return batch_mean(exposure(distance, inverse, labels)).square()


def items() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(11, 4, generator=generator, dtype=torch.float64)
    return x, torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()


def test_one_process():
    assert batch_mean(torch.tensor([1.0, 2.0, 6.0])).item() == 3
    values, own = gather(torch.tensor([1.0, 2.0], requires_grad=True))
    assert values.tolist() == [1, 2] and own == slice(0, 2) and not values.requires_grad


def every_second(rank: int) -> dict[str, Any]:
    """Of one of two processes: they take turns, so that the parts differ in size."""
    x, weight = items()
    loss = objective(x[rank::2], weight)
    loss.backward()
    values, own = gather(torch.arange(11.0)[rank::2])
    return {"loss": loss.detach(), "gradient": weight.grad, "values": values, "own": values[own].tolist()}


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path):
    x, weight = items()
    loss = objective(x, weight)
    loss.backward()
    parts = in_two_processes(every_second, tmp_path)
    for part in parts:
        torch.testing.assert_close(part["loss"], loss.detach(), rtol=1e-12, atol=0)
        assert part["values"].tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9]
    assert [part["own"] for part in parts] == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9]]
    # DDP averages the gradients of the processes.
    gradient = torch.stack([part["gradient"] for part in parts]).mean(0)
    torch.testing.assert_close(gradient, weight.grad, rtol=1e-10, atol=1e-12)
