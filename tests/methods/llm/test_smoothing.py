"""Smoothed forget losses against what they are by hand, and against finite differences on a language model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn

from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.llm.gradient_ascent import GradientAscent
from lit_unlearn.methods.llm.smoothing import DRAWS, smoothed
from tests import llm_data
from tests.methods.llm.training import changed, copied, problem, train
from tests.two_processes import in_two_processes

KINDS: Any = ("sam", "random", "gradient_penalty", "curvature")
A, RADIUS = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), 0.25


class Cubic(LightningModule):
    """l = mean over rows of scale * sum_i a_i w_i^3, of a matrix whose first row is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)

    def forward(self, scale: Tensor) -> Tensor:
        return batch_mean(scale * (A * self.frozen * self.w**3).sum())


ONE = torch.ones(1, dtype=torch.float64)


def value_and_gradient(kind: Any, radius: float = RADIUS, scale: Tensor = ONE) -> tuple[Tensor, Tensor]:
    method = Cubic()
    loss = smoothed(method, scale, kind, radius)
    loss.backward()
    assert method.w.grad is not None and method.frozen.grad is None
    return loss.detach(), method.w.grad


def by_hand() -> dict[str, tuple[Tensor, Tensor]]:
    """With g = 3 a w^2 the gradient, H = diag(6 a w) the second derivative."""
    w = Cubic().w.detach()

    def loss(w: Tensor) -> Tensor:
        return (A * w**3).sum()

    def gradient(w: Tensor) -> Tensor:
        return 3 * A * w**2

    def hessian(w: Tensor) -> Tensor:
        return 6 * A * w

    g, e = gradient(w), RADIUS * gradient(w) / gradient(w).norm()
    difference = gradient(w + e) - g
    return {
        "sam": (loss(w + e), gradient(w + e)),
        "gradient_penalty": (loss(w) + g.norm(), g + hessian(w) * g / g.norm()),
        "curvature": (
            loss(w) + difference.norm(),
            g + (hessian(w + e) - hessian(w)) * difference / difference.norm(),
        ),
    }


@pytest.mark.parametrize("kind", by_hand())
def test_values_and_gradients_by_hand(kind):
    found, expected = value_and_gradient(kind), by_hand()[kind]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_random_smoothing_is_a_mean_over_draws_of_the_step():
    torch.manual_seed(5)
    first = value_and_gradient("random")
    torch.manual_seed(5)
    assert all(torch.equal(a, b) for a, b in zip(first, value_and_gradient("random"), strict=True))
    assert not torch.equal(first[0], value_and_gradient("random")[0])  # of another step
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
    w, noise = (
        Cubic().w.detach(),
        [RADIUS * torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(DRAWS)],
    )
    torch.testing.assert_close(first[0], torch.stack([(A * (w + e) ** 3).sum() for e in noise]).mean())


@pytest.mark.parametrize("kind", ["sam", "random", "curvature"])
def test_radius_zero_is_plain(kind):
    torch.testing.assert_close(value_and_gradient(kind, 0.0), value_and_gradient("none"), rtol=1e-9, atol=1e-9)


def test_a_zero_gradient_is_no_nan():
    for kind in KINDS:
        loss, gradient = value_and_gradient(kind, scale=0 * ONE)
        assert loss.isfinite() and gradient.isfinite().all(), kind


def unlearner(**values: Any) -> GradientAscent:
    return GradientAscent(problem(), **values)


@pytest.mark.parametrize("trained", ["blocks", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_as_they_were_and_get_a_gradient(kind, trained):
    method, batch = unlearner(trained=trained), llm_data.small_unlearning().pools[(torch.arange(4), torch.arange(4))]
    before = copied(method)
    smoothed(method, batch, kind, 0.1).backward()
    assert changed(before, method.state_dict()) == set()
    assert all((weight.grad is not None) == weight.requires_grad for weight in method.parameters())


@pytest.mark.parametrize("kind", ["gradient_penalty", "curvature"])
def test_the_penalty_has_the_gradient_of_finite_differences(kind):
    method = unlearner(last_block=0, modules="down_proj|q_proj")
    batch = llm_data.small_unlearning().pools[(torch.arange(3), torch.arange(3))]
    weights = [weight for weight in method.parameters() if weight.requires_grad]

    def penalty() -> Tensor:
        return smoothed(method, batch, kind, 0.1) - method(batch)

    gradients = torch.autograd.grad(penalty(), weights)
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(weight.shape, generator=generator) for weight in weights]

    def at(step: float) -> float:
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight += step * direction
        value = penalty().item()
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight -= step * direction
        return value

    if kind == "curvature":  # the shift is a constant of the step
        constant = at_fixed_shift(method, batch, weights)
        at = lambda step: constant(step, directions)  # noqa: E731
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    assert abs(slope) > 1e-3
    assert (at(1e-3) - at(-1e-3)) / 2e-3 == pytest.approx(slope, rel=5e-3)  # in float32, as its norms compute


def at_fixed_shift(method: LightningModule, batch: Any, weights: list[nn.Parameter]) -> Any:
    """|gradient(theta + e) - gradient(theta)| along directions, with e of the present weights."""

    def gradient() -> list[Tensor]:
        return list(torch.autograd.grad(method(batch), weights))

    g = gradient()
    norm = torch.sqrt(sum((x.square().sum() for x in g), torch.zeros(())))
    shift, start = [0.1 * x / norm for x in g], [weight.detach().clone() for weight in weights]

    def set_to(offset: list[Tensor]) -> None:
        with torch.no_grad():
            for weight, origin, by in zip(weights, start, offset, strict=True):
                weight.copy_(origin + by)

    def along(step: float, directions: list[Tensor]) -> float:
        set_to([step * d for d in directions])
        here = gradient()
        set_to([step * d + e for d, e in zip(directions, shift, strict=True)])
        there = gradient()
        set_to([torch.zeros_like(d) for d in directions])
        return float(torch.cat([(a - b).flatten() for a, b in zip(there, here, strict=True)]).norm())

    return along


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_trains_and_is_the_same_again(kind):
    runs = []
    for _ in range(2):
        method = unlearner(smoothing=kind, radius=0.01, learning_rate=1e-3)
        train(method, llm_data.small_unlearning(), steps=2)
        runs.append(copied(method))
    assert changed(*runs) == set()
    assert changed(copied(unlearner()), runs[0])


PARTS = [slice(0, 1), slice(1, 4)]
SCALES = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)


def all_kinds(rows: slice) -> dict[str, tuple[Tensor, Tensor]]:
    found = {}
    for kind in ("none", *KINDS):
        torch.manual_seed(7 + rows.start)  # noise differs between processes, as in a run
        found[kind] = value_and_gradient(kind, scale=SCALES[rows])
    return found


def all_kinds_of(rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    return all_kinds(PARTS[rank])


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path):
    parts = in_two_processes(all_kinds_of, tmp_path)
    for kind, (loss, gradient) in all_kinds(slice(0, 4)).items():
        averaged = torch.stack([part[kind][1] for part in parts]).mean(0)  # as DDP does
        torch.testing.assert_close(averaged, gradient, rtol=1e-10, atol=1e-12, msg=lambda m, k=kind: f"{k}: {m}")
        for part in parts:
            torch.testing.assert_close(part[kind][0], loss, rtol=1e-10, atol=1e-12)
