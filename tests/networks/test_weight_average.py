"""Averages of weights, by hand."""

import pytest
import torch
from torch import nn

from lit_unlearn.networks.weight_average import WeightAverage


def averaged(kind, values, decay=0.9) -> float:
    net = nn.Linear(1, 1, bias=False)
    average = WeightAverage(net, kind, decay)
    for value in values:
        nn.init.constant_(net.weight, value)
        average.take(net)
    return average.network.weight.item()


def test_by_hand():
    assert averaged("swa", [1.0, 2.0, 6.0]) == pytest.approx(3.0)
    assert averaged("ema", [1.0, 2.0, 6.0]) == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 6)
    assert averaged("ema", [1.0, 2.0], decay=0.0) == pytest.approx(2.0)


def test_stays_in_eval_mode_without_gradients_and_in_the_state():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    average = WeightAverage(net, "ema", 0.9).train()
    assert not any(module.training for module in average.modules())
    assert not any(weight.requires_grad for weight in average.parameters())
    average.take(net)
    fresh = WeightAverage(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()), "ema", 0.9)
    fresh.load_state_dict(average.state_dict())
    assert int(fresh.taken) == 1 and torch.equal(fresh.network[0].weight, net[0].weight)


def test_running_statistics_are_averaged_and_counters_copied():
    net = nn.BatchNorm1d(1)
    average = WeightAverage(net, "swa", 0.9)
    for mean in (1.0, 3.0):
        net.running_mean.fill_(mean)
        net.num_batches_tracked += 1
        average.take(net)
    assert average.network.running_mean.item() == 2.0 and int(average.network.num_batches_tracked) == 2
