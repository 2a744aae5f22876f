"""Objectives on latent vectors: values by hand, where they rest, and what they must not depend on."""

from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses import latent_alignment as module
from lit_unlearn.losses.latent_alignment import (
    centroid,
    energy_distance,
    infonce,
    latent_set,
    median_bandwidth,
    mmd,
    paired,
    scaled,
    triplet,
)
from tests.losses.alignment_objectives import ALL, AT_REST, BANDWIDTH, OBJECTIVES, TARGET, UNKNOWN

every = pytest.mark.parametrize("name", OBJECTIVES)


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def slope(name: str, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    loss = OBJECTIVES[name](x, ALL)
    return loss.detach(), torch.autograd.grad(loss, x)[0]


@pytest.mark.parametrize(
    ("loss", "value"),
    [  # of two targets, the second where nothing is left to be done
        (latent_set(rows([3, 0], [1, -5]), rows([-1], [4]), row(1, 2), row(0.5)), ((2 + 0) / 2 + 1.5) / 2),
        (centroid(rows([3, 1], [0, 0]), row(0, 0), row(4, 4), eta=2.0, margin=9.0), (5 + 2 * (9 - 5) + 0) / 2),
        (centroid(rows([0, 2], [5, 0]), row(1, 0), row(0, 1), 0.5, 0.7, "cosine"), (1 + 0.5 * 0.7 + 0) / 2),
        (triplet(rows([2, 0], [0, 0]), rows([0, 0], [0, 0]), rows([2, 2], [3, 3]), margin=1.5), (2 - 2 + 1.5) / 2),
        # cosines with unknown 1 and 0, with known 0 and 1; temperature 1/2
        (infonce(rows([7, 0]), rows([1, 0]), rows([0, 3]), 0.5), -log(exp(2) / (exp(2) + 1))),
        (infonce(rows([0, 1]), rows([1, 0]), rows([0, 3], [2, 0]), 0.5), -log(1 / (1 + exp(2) + 1))),
        # d = (4 + 0) / 2 between the two sets, each of one point twice
        (mmd(rows([2, 1], [2, 1]), rows([0, 1], [0, 1]), 0.5), 2 - 2 * exp(-2)),
        (energy_distance(rows([2, 1], [2, 1]), rows([0, 1], [0, 1])), 2 * sqrt(2.0001) - 2 * 0.01),
        (paired(rows([2, 0], [5, 5]), rows([0, 1], [5, 5])), (5 / 2 + 0) / 2),
    ],
)
def test_by_hand(loss: Tensor, value: float):
    assert loss.shape == ()
    assert loss.item() == pytest.approx(value, rel=1e-12)


def test_two_samples_against_a_loop_over_pairs():
    def expectation(function, x: Tensor, y: Tensor) -> float:
        return sum(function(float((a - b).square().mean())) for a in x for b in y) / (len(x) * len(y))

    def kernel(d: float) -> float:
        return exp(-d / (2 * BANDWIDTH))

    def distance(d: float) -> float:
        return sqrt(d + 1e-4)

    within = [expectation(kernel, x, x) for x in (TARGET[:3], UNKNOWN)]
    value = sum(within) - 2 * expectation(kernel, TARGET[:3], UNKNOWN)
    assert mmd(TARGET[:3], UNKNOWN, BANDWIDTH).item() == pytest.approx(value, rel=1e-12)
    within = [expectation(distance, x, x) for x in (TARGET[:3], UNKNOWN)]
    value = 2 * expectation(distance, TARGET[:3], UNKNOWN) - sum(within)
    assert energy_distance(TARGET[:3], UNKNOWN).item() == pytest.approx(value, rel=1e-12)


def test_median_bandwidth_by_hand():
    """Squares of 1, 3 and 4, each over two latents."""
    vectors = rows([0, 5], [1, 5], [4, 5]).requires_grad_()
    bandwidth = median_bandwidth(vectors)
    assert bandwidth.item() == pytest.approx(9 / 2, rel=1e-12) and not bandwidth.requires_grad


def test_scaled_by_hand():
    """A latent that never varies counts by a hundredth of the mean spread, not infinitely."""
    value = scaled(rows([2, 6, 0.04]), row(1, 5, 0), eps=0.01)
    torch.testing.assert_close(value, rows([2 / 1.02, 6 / 5.02, 2]))


@pytest.mark.parametrize("name", AT_REST)
def test_nothing_is_left_where_the_unknown_entities_are(name: str):
    loss, gradient = slope(name, AT_REST[name])
    assert abs(loss.item()) < 1e-14 and gradient.abs().max() < 1e-14
    assert loss < slope(name, TARGET)[0]


@every
def test_bounded_below(name: str):
    generator = torch.Generator().manual_seed(1)
    for scale in (0.01, 1, 100):
        draws = scale * torch.randn(20, 5, 4, generator=generator, dtype=torch.float64)
        assert all(OBJECTIVES[name](x, ALL) >= 0 for x in draws)


@every
def test_falls_along_its_gradient(name: str):
    before, gradient = slope(name, TARGET)
    assert gradient.any()
    after, _ = slope(name, TARGET - 0.1 * gradient)
    assert 0.5 < (before - after) / (0.1 * gradient.square().sum()) < 1.5


@every
def test_gradients(name: str):
    assert torch.autograd.gradcheck(lambda x: OBJECTIVES[name](x, ALL), TARGET.clone().requires_grad_())


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ("latent_set", "triplet")])
def test_a_penalty_on_the_gradient_has_a_gradient(name: str):
    """Those two are piecewise linear: their gradients are constant."""
    x = TARGET.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(OBJECTIVES[name](x, ALL), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.norm(), x)
    assert second.isfinite().all() and second.any()


@pytest.mark.parametrize("name", ["mmd_pooled", "energy_distance"])
def test_a_sample_has_no_order(name: str):
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(OBJECTIVES[name](TARGET[order], ALL), OBJECTIVES[name](TARGET, ALL))


def test_distances_far_from_the_origin_keep_their_digits():
    """|x|^2 + |y|^2 - 2 xy would be rounded to a multiple of .06 here."""
    near = [x.float() for x in (TARGET, UNKNOWN)]
    far = [x + 500 for x in near]
    for objective in (lambda *xy: mmd(*xy, BANDWIDTH), energy_distance):
        torch.testing.assert_close(objective(*far), objective(*near), rtol=1e-3, atol=0)


def test_no_bfloat16_under_autocast():
    near = TARGET.float(), UNKNOWN.float()
    for objective in (lambda x, y: mmd(x, y, BANDWIDTH), energy_distance, lambda x, y: infonce(x, y, y.flip(1))):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = objective(*near)
        assert inside.dtype == torch.float32 and torch.equal(inside, objective(*near))


def test_every_docstring_says_that_it_is_a_reconstruction():
    said = "formulation reconstructed, not checked against the paper"
    functions = [centroid, energy_distance, infonce, latent_set, median_bandwidth, mmd, paired, scaled, triplet]
    assert {f.__name__ for f in functions} >= {
        name.removesuffix("_pooled").removesuffix("_cosine") for name in OBJECTIVES
    }
    assert [f.__name__ for f in (module, *functions) if said not in " ".join(f.__doc__.split())] == []
