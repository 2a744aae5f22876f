"""Each method's objective by hand: the network is replaced by one that gives back its input as the loss."""

import math

import pytest
import torch
from torch import Tensor, nn

from datamodules.anomaly.batches import PUBatch
from lit_unlearn.methods.anomaly.base import NetworkDetector
from lit_unlearn.methods.anomaly.deep_svdd import DeepSVDD, soft_boundary
from lit_unlearn.methods.anomaly.pu_classifier import surrogate_loss
from tests.anomaly_data import build_method

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")

UNLABELED, LABELLED = [0.5, 1.0, 4.5], [2.0, 0.25]


class FirstColumn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


def with_losses(name: str, **values) -> NetworkDetector:
    """A method whose per-sample losses (or logits) are the items themselves."""
    method = build_method(name, [1], **values)
    method.loss = FirstColumn()
    return method


def batch(unlabeled: list[float], labelled: list[float]) -> PUBatch:
    columns = (torch.tensor(part, dtype=torch.float64).unsqueeze(1).requires_grad_() for part in (unlabeled, labelled))
    return PUBatch(*columns)


def value(name: str, unlabeled: list[float] = UNLABELED, labelled: list[float] = LABELLED, **values) -> float:
    return with_losses(name, **values).objective(batch(unlabeled, labelled)).item()


def bce(loss: float) -> float:
    return -math.log(1 - math.exp(-loss))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


# Means: U 2, A 1.125; 1/d of A: 0.5 and 4, mean 2.25; alpha 0.2.
@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("autoencoder", {}, 2.0),
        ("deep_svdd", {}, 2.0),
        ("deep_sad", {}, (6 + 4.5) / 5),
        ("deep_sad", {"eta": 2.0}, (6 + 9) / 5),
        ("abc", {}, (6 + bce(2) + bce(0.25)) / 5),
        ("abc", {"loss_scale": 10.0}, (60 + bce(20) + bce(2.5)) / 5),
        ("pu_svdd", {"alpha": 0.2}, 0.2 * 2.25 + 2 - 0.2 * 1.125),
        ("pu_svdd", {"alpha": 0.2, "positive_loss": "bce"}, 0.1 * (bce(2) + bce(0.25)) + 2 - 0.2 * 1.125),
        ("pu_svdd", {"alpha": 0.2, "loss_scale": 2.0}, 0.1 * (0.25 + 2) + 4 - 0.4 * 1.125),
        ("pu_svdd", {"alpha": 0.9, "correction": "none"}, 0.9 * 2.25 + 2 - 0.9 * 1.125),
        ("pu_autoencoder", {"alpha": 0.2}, 0.1 * (bce(2) + bce(0.25)) + 2 - 0.2 * 1.125),
        ("pu_autoencoder", {"alpha": 0.2, "loss_scale": 10.0}, 0.1 * (bce(20) + bce(2.5)) + 20 - 2 * 1.125),
        ("loe", {"alpha": 1 / 3}, 2.0),  # the first two epochs guess nothing
        ("loe", {"alpha": 1 / 3, "warmup_epochs": 0}, (0.5 + 1 + (4.5 + 1 / 4.5) / 2) / 3),
        ("loe", {"alpha": 1 / 3, "warmup_epochs": 0, "assignment": "hard"}, (0.5 + 1 + 1 / 4.5) / 3),
        ("soel", {"alpha": 1 / 3}, 2.25 + 2.0),
        ("soel", {"alpha": 1 / 3, "warmup_epochs": 0}, 2.25 + (0.5 + 1 + (4.5 + 1 / 4.5) / 2) / 3),
    ],
)
def test_objective_by_hand(name: str, values: dict, expected: float):
    assert value(name, **values) == pytest.approx(expected, rel=1e-5)  # 1e-6 is added to d in 1/d


@pytest.mark.parametrize(("phi", "loss"), [("sigmoid", sigmoid), ("logistic", softplus)])
def test_classifier_by_hand(phi, loss):
    """With logits U 1, -2 and A 3 and alpha 0.4: the bracket is positive, then negative with logits of U of -5."""
    positive, labelled = loss(-3), loss(3)
    unlabeled = (loss(1) + loss(-2)) / 2
    assert value("pu_classifier", [1, -2], [3], alpha=0.1, phi=phi) == pytest.approx(
        0.1 * positive + unlabeled - 0.1 * labelled
    )
    low = loss(-5)
    assert low < 0.4 * labelled
    assert value("pu_classifier", [-5], [3], alpha=0.4, phi=phi) == pytest.approx(0.4 * labelled - low)
    absolute = value("pu_classifier", [-5], [3], alpha=0.4, phi=phi, correction="abs")
    assert absolute == pytest.approx(0.4 * positive + 0.4 * labelled - low)


def test_surrogate_losses_are_safe_at_any_logit():
    margin = torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4], dtype=torch.float64, requires_grad=True)
    expected = {
        "sigmoid": [1, sigmoid(1), 0.5, sigmoid(-1), 0],
        "logistic": [1e4, softplus(1), math.log(2), softplus(-1), 0],
    }
    for phi in ("sigmoid", "logistic"):
        loss = surrogate_loss(margin, phi)
        assert loss.tolist() == pytest.approx(expected[phi])
        assert torch.autograd.grad(loss.sum(), margin)[0].isfinite().all()
        assert torch.autograd.gradcheck(
            lambda m, phi=phi: surrogate_loss(m, phi), margin[1:4].detach().requires_grad_()
        )


@pytest.mark.parametrize(
    ("name", "unsupervised"), [("pu_svdd", "deep_svdd"), ("pu_autoencoder", "autoencoder"), ("loe", "deep_svdd")]
)
@pytest.mark.parametrize("values", [{"warmup_epochs": 0}, {"correction": "none"}])
def test_alpha_zero_is_the_unsupervised_method(name: str, unsupervised: str, values: dict):
    """Loss and gradient, with a real network whose batch statistics are held: the passes differ in their batches."""
    results = []
    for method in (build_method(name, [1, 8, 8], alpha=0.0, **values), build_method(unsupervised, [1, 8, 8])):
        method.double().eval()
        if "centre" in dict(method.loss.named_buffers()):
            method.loss.centre.fill_(0.3)
        torch.manual_seed(0)
        items = PUBatch(torch.rand(6, 1, 8, 8, dtype=torch.float64), torch.rand(3, 1, 8, 8, dtype=torch.float64))
        loss = method.objective(items)
        results.append([loss.detach(), *torch.autograd.grad(loss, list(method.parameters()))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["autoencoder", "abc", "deep_svdd", "deep_sad", "pu_svdd", "pu_autoencoder", "pu_classifier"]
)
def test_order_of_the_items_does_not_matter(name: str):
    swapped = value(name, UNLABELED[::-1], LABELLED[::-1])
    assert swapped == pytest.approx(value(name), rel=1e-12)


def test_one_pass_through_the_network():
    """With two passes, batch statistics differ between the parts."""
    method = with_losses("pu_svdd")
    calls = []
    method.loss.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    method.objective(batch(UNLABELED, LABELLED))
    assert calls == [5]


def test_unlabeled_mean_over_both_parts(monkeypatch: pytest.MonkeyPatch):
    """30 unlabeled and 10 labelled items: the mean over all 40 is 3/4 of U's and 1/4 of A's."""
    method = with_losses("pu_svdd", alpha=0.2, unlabeled_includes_labelled=True)

    class Data:
        unlabeled, labelled = torch.zeros(30, 1), torch.zeros(10, 1)

    monkeypatch.setattr(type(method), "trainer", type("T", (), {"datamodule": Data})(), raising=False)
    monkeypatch.setattr(method, "log_dict", lambda values: None)
    expected = 0.4 * 2.25 + (0.75 * 2 + 0.25 * 1.125) - 0.4 * 1.125  # 6 + 10 anomalies among 40
    assert method.objective(batch(UNLABELED, LABELLED)).item() == pytest.approx(expected, rel=1e-5)


def test_soft_boundary_by_hand():
    distance = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64, requires_grad=True)
    radius = torch.tensor(2.0, dtype=torch.float64)
    loss = soft_boundary(distance, radius, nu=0.5)
    assert loss.tolist() == [4, 4, 14]  # R^2 = 4; the last one is 5 outside, over nu
    assert torch.autograd.gradcheck(
        lambda d: soft_boundary(d, radius, 0.5), torch.tensor([1.0, 9.0]).double().requires_grad_()
    )


def test_soft_boundary_follows_the_distances_after_the_warm_up(monkeypatch: pytest.MonkeyPatch):
    distances = [float(i * i) for i in range(11)]  # roots 0, 1, ..., 10: the 0.9 quantile is 9
    method = with_losses("deep_svdd", boundary="soft", nu=0.1, warmup_epochs=2).double()
    monkeypatch.setattr(DeepSVDD, "current_epoch", 1)
    assert method.objective(batch(distances, LABELLED)).item() == pytest.approx(sum(distances) / 11 / 0.1)
    assert method.radius.item() == 0
    monkeypatch.setattr(DeepSVDD, "current_epoch", 2)
    assert method.objective(batch(distances, LABELLED)).item() == pytest.approx(81 + (100 - 81) / 11 / 0.1)
    assert method.radius.item() == pytest.approx(9)
