"""The running mean by timestep."""

import math

import torch

from lit_unlearn.networks.timestep_mean import TimestepMean


def test_by_hand():
    mean = TimestepMean(100, bins=4, momentum=0.75)
    assert mean(torch.tensor([0, 99])).tolist() == [math.inf, math.inf]
    mean.update(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([0, 24, 99]))
    assert mean.means.tolist() == [2.0, math.inf, math.inf, 8.0]  # the first value of a bin is taken as it is
    mean.update(torch.tensor([6.0]), torch.tensor([10]))
    assert mean.means.tolist() == [3.0, math.inf, math.inf, 8.0]
    assert mean(torch.tensor([[24], [75]])).tolist() == [[3.0], [8.0]]


def test_it_is_part_of_the_state_and_takes_no_gradient():
    mean = TimestepMean(10)
    losses = torch.ones(3, requires_grad=True)
    mean.update(losses, torch.tensor([1, 2, 3]))
    assert list(mean.state_dict()) == ["means"] and not mean.means.requires_grad
