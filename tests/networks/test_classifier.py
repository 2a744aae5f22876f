"""Classifiers: shapes, sizes, names of published weights, normalisation inside, named layers, batch norm."""

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.networks.classifier import BODIES, Classifier
from lit_unlearn.networks.resnet import norm
from tests.robust_data import classifier

PARAMETERS = {  # published sizes, millions
    "resnet18": 11.17,
    "preact_resnet18": 11.17,
    "resnet20": 0.27,
    "wide_resnet_28_10": 36.48,
    "wide_resnet_34_10": 46.16,
}


@pytest.mark.parametrize("network", PARAMETERS)
def test_sizes_are_the_published_ones(network):
    with torch.device("meta"):
        body = BODIES[network]([3, 32, 32], 10)
    assert sum(weight.numel() for weight in body.parameters()) / 1e6 == pytest.approx(PARAMETERS[network], abs=0.006)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(n, [1, 8, 8]) for n in BODIES if "wide_res" not in n]
    + [("small_conv", [1, 28, 28]), ("wide_conv", [3, 32, 32]), ("small_conv", [1, 9, 7])],
)
def test_shapes_and_penultimate(network, shape):
    net = Classifier(network, shape, 5, [0.5] * shape[0], [0.2] * shape[0]).eval()
    logits, (hidden,) = net.with_representations(torch.rand(3, *shape), ["penultimate"])
    assert logits.shape == (3, 5) and hidden.dim() == 2
    assert net.representation_shapes(["penultimate"]) == [tuple(hidden.shape[1:])]


def test_wide_resnet_runs_small():
    from lit_unlearn.networks.wide_resnet import WideResNet

    net = WideResNet([3, 8, 8], 4, depth=10, factor=1)
    assert net(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    names = set(net.state_dict())
    assert {
        "conv1.weight",
        "block1.layer.0.bn1.weight",
        "block2.layer.0.convShortcut.weight",
        "bn1.bias",
        "fc.weight",
    } <= names


def test_names_of_published_weights():
    with torch.device("meta"):
        of = {
            name: set(BODIES[name]([3, 32, 32], 10).state_dict())
            for name in ("resnet18", "preact_resnet18", "resnet20")
        }
    assert {"conv1.weight", "bn1.weight", "layer2.0.shortcut.0.weight", "layer4.1.conv2.weight", "linear.bias"} <= of[
        "resnet18"
    ]
    assert {"layer1.0.bn1.weight", "layer2.0.shortcut.0.weight", "bn.weight", "linear.weight"} <= of["preact_resnet18"]
    assert {"layer3.2.conv2.weight", "linear.weight"} <= of["resnet20"]
    assert not any("shortcut" in name for name in of["resnet20"])


def test_normalisation_is_the_first_layer():
    net = Classifier("small_conv", [2, 8, 8], 3, [0.5, 0.25], [0.5, 0.25])
    x = torch.rand(4, 2, 8, 8)
    by_hand = torch.stack([(x[:, 0] - 0.5) / 0.5, (x[:, 1] - 0.25) / 0.25], 1)
    torch.testing.assert_close(net.normalise(x), by_hand)
    torch.testing.assert_close(net(x), net.body(by_hand))
    assert not any(name.startswith("normalise") for name in net.state_dict())


def test_a_layer_that_does_not_exist():
    with pytest.raises(
        UserError,
        match=r"method.layers=layer9: the network has no such module; it has conv1, conv2, .*penultimate, linear",
    ):
        classifier().layer("layer9")


def test_batch_norm_is_torch_s():
    torch.manual_seed(0)
    ours, theirs, x = norm(3), torch.nn.BatchNorm2d(3), torch.rand(4, 3, 5, 5)
    for module in (ours, theirs):
        with torch.no_grad():
            module.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
            module.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
