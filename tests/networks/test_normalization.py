"""Batch normalisation equals torch's on one process."""

import pytest
import torch
from torch import nn

from lit_unlearn.networks.normalization import BatchNorm, batch_norm


@pytest.mark.parametrize(("shape", "reference"), [((16, 3, 5, 4), nn.BatchNorm2d), ((16, 3), nn.BatchNorm1d)])
def test_equals_torch(shape: tuple[int, ...], reference: type[nn.Module]):
    torch.manual_seed(0)
    ours, theirs = batch_norm(3).double(), reference(3, eps=1e-4, affine=False).double()
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = (3 * torch.randn(shape, dtype=torch.float64) + 1).requires_grad_()
        y, expected = ours(x), theirs(x)
        assert torch.equal(y, expected)
        assert torch.equal(*(torch.autograd.grad(z.square().sum(), x)[0] for z in (ours(x), theirs(x))))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())


def test_several_processes_use_the_same_formula(monkeypatch: pytest.MonkeyPatch):
    """The distributed branch on a whole batch, for what tests/losses/test_reduction.py cannot see: running averages."""
    torch.manual_seed(0)
    ours, theirs = BatchNorm(3).double(), nn.BatchNorm2d(3, affine=False).double()
    monkeypatch.setattr("lit_unlearn.networks.normalization.world_size", lambda: 2)
    monkeypatch.setattr("lit_unlearn.networks.normalization.all_reduce_sum", lambda x: x)
    for _ in range(2):
        x = 3 * torch.randn(16, 3, 5, 4, dtype=torch.float64) + 1
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-12, atol=1e-12)


def test_needs_a_channel_dimension():
    with pytest.raises(ValueError, match=r"\(N, C, \.\.\.\)"):
        batch_norm(3)(torch.rand(3))
