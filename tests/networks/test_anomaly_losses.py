"""The networks whose output is a loss: values by hand, and where the centre goes."""

import pytest
import torch
from torch import Tensor, nn

from lit_unlearn.networks.anomaly_losses import CentreDistance, Logit, ReconstructionError, per_sample


class Recorder(nn.Module):
    """Stands for an encoder: gives back its input, and notes in which mode it was called and on how many items."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[bool, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.training, len(x)))
        return x


def centre_distance(representation: int, reduction="sum") -> CentreDistance:
    distance = CentreDistance([representation], "mlp", representation, reduction).double()
    distance.encoder = Recorder()
    return distance


def test_per_sample_by_hand():
    errors = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]])
    assert per_sample(errors, "sum").tolist() == [12, 4]
    assert per_sample(errors, "mean").tolist() == [3, 1]


def test_centre_is_the_mean_pushed_away_from_zero():
    distance = centre_distance(6)
    assert not distance.has_centre
    means = torch.tensor([0.0, 0.05, -0.05, 0.1, -0.3, 2.0], dtype=torch.float64)
    deviations = torch.tensor([[1.0], [-1.0], [3.0], [-3.0]], dtype=torch.float64)
    distance.set_centre(means + deviations)
    expected = torch.tensor([0.1, 0.1, -0.1, 0.1, -0.3, 2.0], dtype=torch.float64)  # an exact zero goes to +0.1
    torch.testing.assert_close(distance.centre, expected, rtol=0, atol=1e-15)
    assert distance.has_centre


@pytest.mark.parametrize("training", [True, False])
def test_centre_is_placed_in_eval_mode_and_the_mode_comes_back(training: bool):
    distance = centre_distance(2).train(training)
    x = torch.tensor([[1.0, 2.0]] * 5 + [[7.0, -10.0]], dtype=torch.float64)
    distance.set_centre(x, batch_size=4)  # a mean of batches of 4 and 2 must weigh the items, not the batches
    assert distance.encoder.calls == [(False, 4), (False, 2)]
    assert distance.training == training and distance.encoder.training == training
    torch.testing.assert_close(distance.centre, torch.tensor([2.0, 0.1], dtype=torch.float64))


@pytest.mark.parametrize(("reduction", "expected"), [("sum", [0.25, 5.0]), ("mean", [0.125, 2.5])])
def test_distance_by_hand(reduction, expected: list[float]):
    distance = centre_distance(2, reduction)
    distance.centre.copy_(torch.tensor([1.0, -1.0]))
    assert distance(torch.tensor([[1.0, -0.5], [3.0, 0.0]], dtype=torch.float64)).tolist() == expected


@pytest.mark.parametrize(("reduction", "expected"), [("sum", [20.0, 0.0]), ("mean", [10.0, 0.0])])
def test_reconstruction_error_by_hand(reduction, expected: list[float]):
    error = ReconstructionError([2], "mlp", 2, reduction)
    error.encoder, error.decoder = Recorder(), nn.ReLU()
    assert error(torch.tensor([[-2.0, -4.0], [1.0, 3.0]])).tolist() == expected


def test_names_in_the_state_dict():
    """Names that checkpoints and `pretrained` rely on."""
    for module, parts in [
        (CentreDistance([6], "mlp", 4), {"encoder", "centre"}),
        (ReconstructionError([6], "mlp", 4), {"encoder", "decoder"}),
        (Logit([6], "mlp", 4), {"encoder", "head"}),
    ]:
        assert {key.split(".")[0] for key in module.state_dict()} == parts


def test_logit_is_linear_in_the_representation():
    logit = Logit([2], "mlp", 2)
    logit.encoder = Recorder()
    with torch.no_grad():
        logit.head.weight.copy_(torch.tensor([[2.0, -1.0]]))
        logit.head.bias.fill_(0.5)
    assert logit(torch.tensor([[1.0, 1.0], [0.0, 3.0]])).tolist() == [1.5, -2.5]
