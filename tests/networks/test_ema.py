"""The moving average: worked out by hand over a run, counted in optimiser steps, in every checkpoint."""

import copy

import torch
from lightning import Callback

from lit_unlearn.networks.ema import MovingAverage
from tests.anomaly_data import trainer
from tests.diffusion_data import Generated, build_method


class Weights(Callback):
    """Keeps a copy of a weight after each batch."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def on_train_batch_end(self, fit, method, outputs, batch, batch_idx: int) -> None:
        self.values.append(method.network.conv_in.weight.detach().clone())


def fitted(accumulate: int = 1) -> tuple:
    data, weights = Generated(), Weights()
    method = build_method("unsupervised_diffusion")
    first = copy.deepcopy(method.network.conv_in.weight.detach())
    trainer(max_epochs=2, callbacks=[weights, MovingAverage(0.9)], accumulate_grad_batches=accumulate).fit(method, data)
    return method, first, weights.values


def test_by_hand():
    method, average, weights = fitted()
    for step, weight in enumerate(weights, 1):
        kept = min(0.9, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * weight
    assert len(weights) == 6
    torch.testing.assert_close(method.average.conv_in.weight, average)
    assert method.sampled_network is method.average
    assert not any(weight.requires_grad for weight in method.average.parameters())


def test_it_moves_once_for_an_accumulated_step():
    method, average, weights = fitted(accumulate=3)
    for step, weight in enumerate(weights[2::3], 1):
        average = average * (1 + step) / (10 + step) + (1 - (1 + step) / (10 + step)) * weight
    torch.testing.assert_close(method.average.conv_in.weight, average)


def test_a_checkpoint_brings_the_average_to_a_fresh_method():
    method, _, _ = fitted()
    state, fresh = method.state_dict(), build_method("unsupervised_diffusion", seed=1)
    fresh.on_load_checkpoint({"state_dict": state})
    fresh.load_state_dict(state)
    start = torch.randn(2, 1, 4, 4)
    assert torch.equal(fresh.sample(start), method.sample(start))
    assert not torch.equal(fresh.sample(start), method.sample(start, network=method.network))
