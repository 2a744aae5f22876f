"""FGSM and PGD: by hand, against torchattacks, and what they must leave alone."""

import json
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lit_unlearn.attacks.ball import Ball
from lit_unlearn.attacks.gradient import Loss, cross_entropy, fgsm, pgd, pgd_on_standing
from lit_unlearn.errors import UserError
from lit_unlearn.networks.resnet import norm

RECORDED = Path(__file__).parent / "torchattacks.json"


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    """A network, six 3x3 pictures and their classes, the same whatever the version of torch's generators."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3)).requires_grad_(False)
    for number, weight in enumerate(net.parameters()):
        weight.copy_(torch.sin(torch.arange(weight.numel()) * (1.3 + number)).view_as(weight))
    x = (torch.sin(torch.arange(54) * 0.7).view(6, 1, 3, 3) + 1) / 2
    return net.eval(), x, net(x).argmax(1)


def raising(y: Tensor) -> Loss:
    return partial(cross_entropy, y=y)


def test_a_step_by_hand():
    """Logits (w x, 0), class 0: the loss falls with x, so each step goes down where w > 0 and up where w < 0."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).requires_grad_(False)
    net[1].weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))
    x, y = torch.tensor([[[[0.5, 0.95]]]]), torch.tensor([0])
    assert pgd(net, x, raising(y), Ball("linf", 0.1), 0.03, 1, "none").flatten().tolist() == pytest.approx([0.47, 0.98])
    three = pgd(net, x, raising(y), Ball("linf", 0.08), 0.03, 3, "none").flatten().tolist()
    assert three == pytest.approx([0.42, 1.0])  # the edge of the ball, and white
    assert fgsm(net, x, raising(y), Ball("linf", 0.02)).flatten().tolist() == pytest.approx([0.48, 0.97])
    along = 0.1 / 5**0.5  # the gradient points along (-1, 2)
    two = pgd(net, x, raising(y), Ball("l2", 0.05), 0.1, 1, "none").flatten().tolist()
    assert two == pytest.approx([0.5 - along / 2, 0.95 + along])


@pytest.mark.parametrize("norm_name", ["linf", "l2"])
@pytest.mark.parametrize("start", ["uniform", "gaussian", "none"])
def test_stays_in_the_ball_and_in_the_unit_range(norm_name, start):
    net, x, y = problem()
    ball = Ball(norm_name, 0.3)
    for steps in (0, 1, 5):
        perturbed = pgd(net, x, raising(y), ball, 0.2, steps, start)
        assert perturbed.min() >= 0 and perturbed.max() <= 1
        assert ball.distance(perturbed, x).max() <= 0.3 + 1e-6
    assert not perturbed.requires_grad


def test_without_room_nothing_changes():
    net, x, y = problem()
    for name in ("linf", "l2"):
        assert torch.equal(pgd(net, x, raising(y), Ball(name, 0.0), 0.1, 3), x)


def test_steps_raise_the_loss():
    net, x, y = problem()
    losses = [
        cross_entropy(net(pgd(net, x, raising(y), Ball("linf", 0.2), 0.02, n, "none")), y).mean() for n in range(10)
    ]
    assert all(later >= earlier for earlier, later in pairwise(losses))
    assert losses[-1] > losses[0] + 0.1


@pytest.mark.parametrize("name", ["linf", "l2", "linf_random", "fgsm"])
def test_agrees_with_torchattacks(name: str):
    """What torchattacks 3.5.1 makes of the same network, pictures and starts, recorded to 7 digits."""
    net, x, y = problem()
    recorded = torch.tensor(json.loads(RECORDED.read_text())[name]).view_as(x)
    match name:
        case "linf":
            ours = pgd(net, x, raising(y), Ball("linf", 0.1), 0.03, 7, "none")
        case "l2":
            ours = pgd(net, x, raising(y), Ball("l2", 0.6), 0.2, 7, "none")
        case "linf_random":
            torch.manual_seed(3)
            noise = torch.empty_like(x).uniform_(-0.1, 0.1)
            torch.manual_seed(3)
            torch.testing.assert_close(Ball("linf", 0.1).start(x), (x + noise).clamp(0, 1))
            torch.manual_seed(3)
            ours = pgd(net, x, raising(y), Ball("linf", 0.1), 0.03, 7)
        case "fgsm":
            ours = fgsm(net, x, raising(y), Ball("linf", 0.1))
    torch.testing.assert_close(ours, recorded, atol=2e-6, rtol=0)


def test_leaves_no_gradient_and_restores_modes():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), norm(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3, 3))
    net.train()
    net[1].eval()  # a module that was frozen stays so
    x, y = torch.rand(4, 1, 3, 3), torch.tensor([0, 1, 2, 0])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for mode in ("eval", "train"):
        pgd(net, x, raising(y), Ball("linf", 0.1), 0.03, 2, mode=mode)
    pgd_on_standing(net, x, y, Ball("linf", 0.1), 0.03, 2)
    assert [module.training for module in net] == [True, False, True, True, True]
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())  # running statistics too


def test_modes_differ_where_there_are_batch_statistics():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), norm(3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 3))
    x, y = torch.rand(4, 1, 3, 3), torch.tensor([0, 1, 2, 0])
    made = [pgd(net, x, raising(y), Ball("linf", 0.3), 0.05, 3, "none", mode) for mode in ("eval", "train")]
    assert not torch.equal(*made)


def test_modes_are_restored_after_an_error():
    net, x, _ = problem()
    net.train()
    with pytest.raises(ZeroDivisionError):
        pgd(net, x, lambda logits: logits / (1 // 0), Ball("linf", 0.1), 0.1, 1)
    assert net.training


def test_works_inside_validation():
    net, x, y = problem()
    with torch.inference_mode():
        inside = pgd(net, x.clone(), raising(y), Ball("linf", 0.1), 0.03, 3, "none")
    assert torch.equal(inside, pgd(net, x, raising(y), Ball("linf", 0.1), 0.03, 3, "none"))


def test_standing_is_what_pgd_leaves_right_or_stricter():
    net, _, _ = problem()
    x = torch.rand(64, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    y, ball = net(x).argmax(1), Ball("linf", 0.1)
    plain = pgd(net, x, raising(y), ball, 0.02, 10, "none")
    left = pgd_on_standing(net, x, y, ball, 0.02, 10, "none")
    right = net(plain).argmax(1) == y
    assert 0 < left.standing.sum() < 64
    assert not (left.standing & ~right).any()
    assert torch.equal(net(left.x).argmax(1) == y, left.standing)  # the pictures it returns are the proof
    assert torch.equal(left.x[left.standing], plain[left.standing])
    assert ball.distance(left.x, x).max() <= 0.1 + 1e-6


def test_a_picture_that_was_wrong_before_is_not_attacked():
    net, x, y = problem()
    left = pgd_on_standing(net, x, (y + 1) % 3, Ball("linf", 0.5), 0.1, 5, "none")
    assert not left.standing.any() and torch.equal(left.x, x)


@pytest.mark.parametrize(
    "x", [torch.full((1, 1, 3, 3), 1.1), torch.full((1, 1, 3, 3), -0.1), torch.full((1, 1, 3, 3), torch.nan)]
)
def test_pictures_outside_the_unit_range_are_refused(x: Tensor):
    net, _, _ = problem()
    with pytest.raises(UserError, match=r"attacks and networks take \[0, 1\]"):
        pgd(net, x, raising(torch.tensor([0])), Ball("linf", 0.1), 0.1, 1)
    with pytest.raises(UserError, match=r"take \[0, 1\]"):
        pgd_on_standing(net, x, torch.tensor([0]), Ball("linf", 0.1), 0.1, 1)


@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_a_ball_needs_a_radius(eps: float):
    with pytest.raises(UserError, match="must be at least 0"):
        Ball("linf", eps)


def test_uniform_start_fills_the_ball():
    x = torch.full((2000, 1, 2, 2), 0.5)
    for name in ("linf", "l2"):
        ball = Ball(name, 0.2)
        lengths = ball.distance(ball.start(x), x)
        share = (lengths < 0.1).float().mean().item()
        assert share == pytest.approx(1 / 16, abs=0.02)  # half the radius is a sixteenth of the volume of four pixels
