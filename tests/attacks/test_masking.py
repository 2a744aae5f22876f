"""Warnings of gradient masking, on networks that mask their gradients and on one that does not."""

import torch
from torch import nn

from lit_unlearn.attacks.masking import black_box_wins, more_steps_do_not_help, unbounded_attack
from tests.attacks.test_gradient import problem


class Masked(nn.Module):
    """Answers as another network does, with gradients that are zero."""

    def __init__(self, of: nn.Module):
        super().__init__()
        self.of = of

    def forward(self, x):
        return self.of(x).detach() + 0 * x.sum()


def test_unbounded_attack_reaches_everything():
    net, x, y = problem()
    assert unbounded_attack(net, x, y) == (0.0, None)


def test_unbounded_attack_finds_zero_gradients():
    net, x, y = problem()
    torch.manual_seed(0)
    share, line = unbounded_attack(Masked(net), x, y)
    assert share > 0.1
    assert line is not None and line.startswith("gradient masking?: ") and f"{share:.1%}" in line


def test_black_box():
    assert black_box_wins({"apgd-ce": 30, "square": 0}, 1000) is None
    assert black_box_wins({"apgd-ce": 30, "square": 2}, 1000) is None  # two of a thousand, the authors' limit
    assert black_box_wins({"apgd-ce": 30, "square": 1}, 10) is None  # one picture is never a sign
    line = black_box_wins({"apgd-ce": 30, "square": 3}, 1000)
    assert line is not None and "broke 3 of 1000" in line


def test_more_steps():
    assert more_steps_do_not_help(0.7, 0.5) is None
    line = more_steps_do_not_help(0.5, 0.7)
    assert line is not None and "PGD leaves 70.0% right and FGSM, a single step, only 50.0%" in line
