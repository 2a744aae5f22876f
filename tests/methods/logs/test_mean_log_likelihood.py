"""Mean log-likelihood: the score of a uniform model is known, and a word out of place is less likely."""

import math

import pytest
import torch

from lit_unlearn.methods.logs.mean_log_likelihood import MeanLogLikelihood
from tests.methods.logs.test_log_electra import batch

SMALL = {"vocab_size": 30, "max_length": 16, "hidden": 16, "layers": 1, "dropout": 0.0}


def test_surprise_by_hand():
    # softmax(0, ln 3) = (1/4, 3/4), and softmax(0, 0) = (1/2, 1/2): equation (2).
    logits = torch.tensor([[0, math.log(3)], [0, math.log(3)], [0, 0]], dtype=torch.float64)
    computed = MeanLogLikelihood(**SMALL).surprise(logits, torch.tensor([0, 1, 1]))
    assert computed.tolist() == pytest.approx([math.log(4), math.log(4 / 3), math.log(2)], rel=1e-14)


def test_a_uniform_model_is_equally_surprised_by_every_line_whatever_its_length():
    method = MeanLogLikelihood(**SMALL).eval()
    for value in method.model.parameters():
        torch.nn.init.zeros_(value)  # all tokens are equally likely
    assert method.line_scores(batch()).tolist() == pytest.approx([math.log(30)] * 4, rel=1e-6)


def test_it_learns_the_lines_it_is_given():
    torch.manual_seed(0)
    method = MeanLogLikelihood(**SMALL | {"hidden": 32})
    optimiser = torch.optim.AdamW(method.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        method.objective(batch([[2, 9, 8, 7, 6, 3], [2, 19, 18, 17, 16, 3]] * 4)).backward()
        optimiser.step()
    method.eval()
    known, mixed, reversed_ = method.line_scores(batch([[2, 9, 8, 7, 6, 3], [2, 9, 8, 17, 6, 3], [2, 6, 7, 8, 9, 3]]))
    assert known < 0.5 < mixed and known < reversed_
