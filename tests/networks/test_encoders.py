"""Encoders and decoders: shapes, and nothing that would let a one-class network collapse."""

import pytest
import torch
from torch import nn

from lit_unlearn.errors import UserError
from lit_unlearn.networks.encoders import NetworkName, decoder, encoder

PICTURES = [[1, 8, 8], [1, 28, 28], [3, 32, 32], [1, 13, 10]]
CASES: list[tuple[NetworkName, list[int]]] = [
    *[(name, shape) for name in ("auto", "conv", "lenet", "mlp") for shape in PICTURES],
    ("auto", [6]),
    ("mlp", [6]),
]


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_shapes(network: NetworkName, shape: list[int]):
    x = torch.rand(5, *shape)
    representation = encoder(network, shape, 7)(x)
    assert representation.shape == (5, 7)
    assert decoder(network, shape, 7)(representation).shape == x.shape


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_zero_weights_are_the_only_way_to_a_constant(network: NetworkName, shape: list[int]):
    """No bias, no learnt normalisation, no bounded activation (Ruff et al. 2018, propositions 1 to 3)."""
    net = encoder(network, shape, 7)
    assert [name for name, _ in net.named_parameters() if name.endswith("bias")] == []
    assert all(p.dim() > 1 for p in net.parameters())  # a learnt scale would be a vector
    bounded = (nn.Sigmoid, nn.Tanh, nn.Softmax, nn.Hardtanh)
    assert not any(isinstance(module, bounded) for module in net.modules())
    assert not isinstance(list(net.modules())[-1], nn.LeakyReLU)  # every orthant of the representation can be reached


@pytest.mark.parametrize(("network", "bounded"), [("conv", True), ("lenet", True), ("mlp", False)])
def test_range_of_reconstructions(network: NetworkName, bounded: bool):
    """Pictures lie in [0, 1]; the scaled columns of a table do not."""
    torch.manual_seed(0)
    x = decoder(network, [1, 8, 8], 7)(100 * torch.randn(50, 7))
    assert bool(((x >= 0) & (x <= 1)).all()) == bounded


def test_auto_is_conv_for_pictures_and_mlp_for_tables():
    assert encoder("auto", [1, 8, 8], 7).state_dict().keys() == encoder("conv", [1, 8, 8], 7).state_dict().keys()
    assert encoder("auto", [6], 7).state_dict().keys() == encoder("mlp", [6], 7).state_dict().keys()


@pytest.mark.parametrize("network", ["conv", "lenet"])
@pytest.mark.parametrize("build", [encoder, decoder])
def test_convolutions_need_pictures(build, network: NetworkName):
    with pytest.raises(UserError, match=rf"network={network}.*\(6,\).*mlp"):
        build(network, [6], 7)
