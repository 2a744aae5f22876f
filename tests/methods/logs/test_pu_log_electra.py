"""PU LogELECTRA: its objective by hand, and what the labelled alerts do."""

from pathlib import Path

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.fit import fit
from lit_unlearn.losses.pu import Correction
from lit_unlearn.methods.logs.log_electra import LogElectra
from lit_unlearn.methods.logs.pu_log_electra import PULogElectra
from tests.methods.logs.test_log_electra import batch

SMALL = {
    "num_labelled": 12,
    "vocab_size": 30,
    "max_length": 16,
    "hidden": 16,
    "layers": 1,
    "generator_hidden": 8,
    "generator_layers": 1,
}


def method(**changed) -> PULogElectra:
    torch.manual_seed(0)
    return PULogElectra(**SMALL | {"dropout": 0.0} | changed).double()


def plain_loss(of: PULogElectra, lines) -> torch.Tensor:
    torch.manual_seed(1)
    return LogElectra.objective(of, lines)


def loss_of(of: PULogElectra, lines) -> torch.Tensor:
    torch.manual_seed(1)
    return of.objective(lines)


@pytest.mark.parametrize(("correction", "alpha"), [("abs", 0.2), ("abs", 0.9), ("clamp", 0.9), ("none", 0.9)])
def test_the_objective_by_hand(correction: Correction, alpha: float):
    of, lines = method(alpha=alpha, risk_weight=3.0, eps=0.1, correction=correction), batch(num_labelled=1)
    scores = of.line_scores(lines)
    unlabeled, alert = scores[:3].mean(), scores[3]
    bracket = unlabeled - alpha * alert
    corrected = {"abs": bracket.abs(), "clamp": bracket.clamp_min(0), "none": bracket}[correction]
    expected = plain_loss(of, lines) + 3.0 * (alpha / (alert + 0.1) + corrected)
    torch.testing.assert_close(loss_of(of, lines), expected, rtol=1e-14, atol=0)


def test_without_the_risk_it_is_logelectra():
    of, lines = method(risk_weight=0.0), batch(num_labelled=1)
    torch.testing.assert_close(loss_of(of, lines), plain_loss(of, lines), rtol=1e-14, atol=0)


def test_alpha_zero_leaves_the_mean_score_of_unlabeled_lines():
    of, lines = method(alpha=0.0, risk_weight=1.0), batch(num_labelled=1)
    expected = plain_loss(of, lines) + of.line_scores(lines)[:3].mean()
    torch.testing.assert_close(loss_of(of, lines), expected, rtol=1e-14, atol=0)


def test_the_risk_does_not_reach_the_generator():
    of, lines = method(alpha=0.3), batch(num_labelled=1)
    gradients = []
    for weight in (0.0, 1000.0):
        of.risk_weight = weight
        of.zero_grad()
        loss_of(of, lines).backward()
        gradients.append([value.grad.clone() for value in of.generator.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*gradients, strict=True))


def test_a_step_against_the_gradient_raises_alerts_and_lowers_unlabeled_lines():
    of, lines = method(alpha=0.2, discriminator_weight=0.0, risk_weight=1.0), batch(num_labelled=1)
    before = of.line_scores(lines)
    risk = loss_of(of, lines) - plain_loss(of, lines)
    risk.backward()
    with torch.no_grad():
        for value in of.discriminator.parameters():
            value -= 1e-3 * value.grad
    after = of.line_scores(lines)
    assert after[3] - before[3] > (after[:3] - before[:3]).mean() and after[:3].mean() < before[:3].mean()


def test_it_asks_for_labelled_alerts_before_anything_is_written(tmp_path: Path):
    run_dir = tmp_path / "run"
    small = ["data.num_lines=600", f"run_dir={run_dir}"]
    with pytest.raises(UserError) as error:
        fit(["experiment=log_electra/generated", "method=pu_log_electra", *small])
    assert error.value.lines == ["data.num_labelled=0: pu_log_electra learns from labelled alerts; give at least 1"]
    assert not run_dir.exists()
