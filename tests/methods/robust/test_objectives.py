"""Every method's objective on two classes worked out by hand; identities between methods."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datamodules.robust.batches import LabelledBatch
from lit_unlearn.methods.robust.distillation import Distillation
from lit_unlearn.networks.classifier import Classifier
from tests.robust_data import CLASSES, SHAPE, build_method, classifier

S_CLEAN, S_ADVERSARIAL, T_CLEAN, T_ADVERSARIAL, STANDARD = 0.8, 0.5, 0.9, 0.6, 0.2
"""Probabilities of class 1, the right one."""


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


class Given(Classifier):
    """A classifier that says what it is told: the probability of class 1 on the clean and on the attacked picture."""

    def __init__(self, clean: float, adversarial: float, h: tuple[float, float] = (1.0, 0.0)):
        super().__init__("small_conv", SHAPE, 2, [0.0], [1.0])
        self.answers = {0.0: clean, 1.0: adversarial}
        self.representation = torch.tensor([h], dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        odds = [log_odds(self.answers[float(picture.max())]) for picture in x]
        return torch.tensor([[0.0, value] for value in odds], dtype=torch.float64)

    def with_representations(self, x, layers):
        return self(x), [self.representation.expand(len(x), 2) for _ in layers]


def objective(name: str, standard: bool = False, **values: Any) -> float:
    """Of a batch of one black picture of class 1 whose attacked version is white, by networks that are `Given`."""
    method = build_method(name, num_classes=2, **values)
    assert isinstance(method, Distillation)
    method.net = Given(S_CLEAN, S_ADVERSARIAL, (3.0, 4.0))
    method.projections = nn.ModuleList([nn.Identity()])
    method._teachers = {
        "teacher": Given(T_CLEAN, T_ADVERSARIAL, (4.0, 3.0)),
        "standard_teacher": Given(STANDARD, STANDARD),
    }
    method.attack = lambda batch: torch.ones_like(batch.x)
    return method.objective(LabelledBatch(torch.zeros(1, *SHAPE), torch.tensor([1]))).item()


def ce(p: float) -> float:
    return -math.log(p)


def kl(target: float, p: float) -> float:
    return target * math.log(target / p) + (1 - target) * math.log((1 - target) / (1 - p))


TRUST = T_ADVERSARIAL**0.1
BOOSTED = ce(S_ADVERSARIAL) - math.log(1.0001 - (1 - S_ADVERSARIAL))
BY_HAND = {
    "natural": ({}, ce(S_CLEAN)),
    "pgd_at": ({}, ce(S_ADVERSARIAL)),
    "fast_at": ({}, ce(S_ADVERSARIAL)),
    "trades": ({}, ce(S_CLEAN) + 6 * kl(S_CLEAN, S_ADVERSARIAL)),
    "mart": ({"beta": 5.0}, BOOSTED + 5 * kl(S_CLEAN, S_ADVERSARIAL) * (1 - S_CLEAN)),
    "ard": ({"alpha": 0.7}, 0.7 * kl(T_CLEAN, S_ADVERSARIAL) + 0.3 * ce(S_CLEAN)),
    "akd": (
        {},
        0.25 * ce(S_ADVERSARIAL) + 0.5 * kl(T_ADVERSARIAL, S_ADVERSARIAL) + 0.25 * kl(STANDARD, S_ADVERSARIAL),
    ),
    "iad_1": ({}, kl(T_CLEAN, S_ADVERSARIAL) + (1 - TRUST) * kl(S_CLEAN, S_ADVERSARIAL)),
    "iad_2": ({}, TRUST * kl(T_CLEAN, S_ADVERSARIAL) + (1 - TRUST) * kl(S_CLEAN, S_ADVERSARIAL)),
    "rslad": ({}, 5 / 6 * kl(T_CLEAN, S_ADVERSARIAL) + 1 / 6 * kl(T_CLEAN, S_CLEAN)),
    "rslad of the authors": (
        {"reduction": "mean"},
        (5 / 6 * kl(T_CLEAN, S_ADVERSARIAL) + 1 / 6 * kl(T_CLEAN, S_CLEAN)) / 2,
    ),
    "ardir": (
        {"alpha": 0.4, "beta": 2.0},
        0.4 * kl(T_CLEAN, S_ADVERSARIAL) + 0.6 * ce(S_ADVERSARIAL) + 2 * 2 / 25,
    ),
    "ardir otherwise": (
        {"alpha": 0.4, "beta": 2.0, "teacher_input": "adversarial", "hard_label_input": "clean", "distance": "cosine"},
        0.4 * kl(T_ADVERSARIAL, S_ADVERSARIAL) + 0.6 * ce(S_CLEAN) + 2 / 25,
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_by_hand(case: str):
    values, expected = BY_HAND[case]
    assert objective(case.split()[0], **values) == pytest.approx(expected, rel=1e-6)


def test_temperature_by_hand():
    """At temperature 2 the odds 9 and 1 become 3 and 1: (3/4, 1/4) against (1/2, 1/2), and 2^2 in front."""
    assert objective("ard", alpha=1.0, tau=2.0) == pytest.approx(4 * kl(0.75, 0.5), rel=1e-6)


def test_trust_of_one_leaves_the_teacher_alone():
    """With b = 0 the trust is 1: no term of the student's own; so it is before the trust counts."""
    teacher_alone = pytest.approx(kl(T_CLEAN, S_ADVERSARIAL), rel=1e-6)
    for name in ("iad_1", "iad_2"):
        assert objective(name, trust_power=0.0) == teacher_alone
    assert objective("ard", alpha=1.0) == teacher_alone


def test_iad_before_trust_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Distillation, "trust_counts", lambda self: False)
    for name in ("iad_1", "iad_2"):
        assert objective(name) == pytest.approx(kl(T_CLEAN, S_ADVERSARIAL), rel=1e-6)


def test_limits():
    assert objective("ard", alpha=0.0) == pytest.approx(ce(S_CLEAN), rel=1e-6)
    assert objective("rslad", adversarial_weight=1.0) == pytest.approx(kl(T_CLEAN, S_ADVERSARIAL), rel=1e-6)


def batch() -> LabelledBatch:
    generator = torch.Generator().manual_seed(0)
    return LabelledBatch(torch.rand(16, *SHAPE, generator=generator), torch.arange(16) % CLASSES)


def built(name: str, **values: Any) -> Distillation:
    method = build_method(name, **values)
    assert isinstance(method, Distillation)
    method.check(None)  # type: ignore[arg-type]  # reads the teachers
    return method


def value_and_gradient(method: Distillation) -> tuple[float, list[Tensor]]:
    torch.manual_seed(5)
    loss = method.objective(batch())
    used = list(method.net.parameters())
    return loss.item(), list(torch.autograd.grad(loss, used))


def assert_equal(one: Distillation, other: Distillation) -> None:
    (value, gradient), (its, others) = value_and_gradient(one), value_and_gradient(other)
    assert value == its
    assert all(torch.equal(a, b) for a, b in zip(gradient, others, strict=True))


def test_ardir_without_alpha_and_beta_is_adversarial_training_to_the_bit():
    assert_equal(built("ardir", alpha=0.0, beta=0.0), built("pgd_at"))


def test_ardir_without_beta_is_distillation_of_the_output_to_the_bit():
    assert_equal(
        built("ardir", alpha=0.3, beta=0.0, hard_label_input="clean", tau=2.0), built("ard", alpha=0.3, tau=2.0)
    )
    assert_equal(built("ardir", alpha=1.0, beta=0.0), built("ard", alpha=1.0))


def test_ardir_with_beta_is_not():
    one, other = value_and_gradient(built("ardir", alpha=1.0, beta=1.0)), value_and_gradient(built("ard", alpha=1.0))
    assert one[0] > other[0] and not torch.equal(one[1][0], other[1][0])


def test_rslad_of_the_teacher_itself_without_an_attack_is_zero():
    method = built("rslad", eps=0.0)
    method.teach_with(teacher=method.net)
    assert method.objective(batch()).item() == pytest.approx(0, abs=1e-6)
    assert built("rslad", eps=0.0).objective(batch()).item() > 1e-4


def test_rslad_attacks_the_student_in_eval_mode_by_the_teacher_s_labels():
    method = built("rslad")
    seen = []
    method.net.body.register_forward_hook(lambda module, *_: seen.append(module.training))
    torch.manual_seed(0)
    perturbed = method.attack(batch())
    assert seen == [False, False] and method.net.training
    torch.manual_seed(0)
    method.inner_loss = "ce"
    assert not torch.equal(perturbed, method.attack(batch()))


def test_the_whole_objective_can_be_attacked():
    """Raised by the attack, the objective is higher than where the cross entropy was raised."""
    values = {"alpha": 0.5, "beta": 5.0, "attack_start": "none", "eps": 0.1, "attack_step": 0.02, "attack_steps": 10}
    of = {loss: built("ardir", inner_loss=loss, **values) for loss in ("ce", "objective")}
    losses = {loss: method.objective(batch()).item() for loss, method in of.items()}
    assert losses["objective"] > losses["ce"]
    adversarial = built("ardir", inner_loss="objective", teacher_input="adversarial", **values)
    assert adversarial.objective(batch()).item() != losses["objective"]
    assert all(weight.grad is None for weight in adversarial.teacher().parameters())


def test_fast_at_takes_one_step_of_its_own_length():
    method, x = built("fast_at", eps=0.1), batch()
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1

    method.net.body.register_forward_hook(count)
    perturbed = method.attack(x)
    assert steps == 1
    assert (perturbed - x.x).abs().max().item() == pytest.approx(0.1, abs=1e-6)


def test_representations_are_those_of_the_named_module():
    network, x = classifier(), batch().x
    logits, (hidden, first) = network.with_representations(x, ["penultimate", "conv1"])
    torch.testing.assert_close(logits, network.body.linear(hidden))
    torch.testing.assert_close(first, network.body.conv1(network.normalise(x)))
    assert not network.body.penultimate._forward_hooks


def test_gradient_reaches_the_student_alone():
    method = built("ardir", alpha=0.5, beta=1.0)
    method.objective(batch()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in method.net.parameters())
    assert all(weight.grad is None and not weight.requires_grad for weight in method.teacher().parameters())
