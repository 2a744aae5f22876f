"""Ten optimiser steps of each method, float64, one thread: what is not meant to change a number does not.

`pytest tests/test_golden.py --update-golden` rewrites tests/golden/*.json; look at the difference before you commit it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule

from tests import anomaly_data, diffusion_data, logs_data, robust_data
from tests.anomaly_data import trainer

GOLDEN = Path(__file__).parent / "golden"
METHODS = dict.fromkeys(anomaly_data.METHODS, "anomaly") | dict.fromkeys(logs_data.METHODS, "logs")
METHODS |= dict.fromkeys(diffusion_data.METHODS, "diffusion") | dict.fromkeys(robust_data.METHODS, "robust")

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")


class Losses(Callback):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, fit, method, outputs, batch, batch_idx: int) -> None:
        if outputs:  # a forest has no loss
            self.values.append(outputs["loss"].item())


def anomaly(name: str) -> tuple[LightningModule, LightningDataModule, Any]:
    """A method, its data, and what gives the scores of five test items."""
    data = anomaly_data.Generated()
    data.setup()
    method = anomaly_data.build_method(name, [1, 8, 8])
    return method, data, lambda: method(data.test.x[::12].double())


def logs(name: str) -> tuple[LightningModule, LightningDataModule, Any]:
    """A method, its data, and what gives the scores of some distinct test lines, from the shortest to the longest."""
    data = logs_data.small_log()
    method = logs_data.build_method(name, data)
    return method, data, lambda: torch.cat([method.predict_step(batch, 0)[::9] for batch in data.predict_dataloader()])


def diffusion(name: str) -> tuple[LightningModule, LightningDataModule, Any]:
    """A method, its data, and what gives some pixels of what it draws."""
    data = diffusion_data.Generated()
    data.setup()
    method = diffusion_data.build_method(name)
    start = torch.randn(2, *method.input_shape, generator=torch.Generator().manual_seed(0)).double()
    return method, data, lambda: method.sample(start, torch.tensor([0, 3])).flatten()[::4]  # type: ignore[operator]


def robust(name: str) -> tuple[LightningModule, LightningDataModule, Any]:
    """A method, its data, and what gives the logits of some test pictures."""
    data = robust_data.Patterns()
    data.setup()
    method = robust_data.build_method(name, learning_rate=0.02)
    return method, data, lambda: method(data.test.all().x[::9].double()).flatten()


CLOSE = {"diffusion": 1e-6}
"""Diffusers embeds timesteps in float32, whatever the network's type: the last digits differ between processors."""

PROBLEMS = {"anomaly": anomaly, "logs": logs, "diffusion": diffusion, "robust": robust}


def ten_steps(name: str) -> dict[str, list[float]]:
    """The losses of ten steps (three batches an epoch) and some scores after them."""
    method, data, scores = PROBLEMS[METHODS[name]](name)
    losses = Losses()
    trainer(max_steps=10, max_epochs=10, precision="64-true", callbacks=[losses]).fit(method, datamodule=data)
    method.eval()
    with torch.no_grad():
        return {"losses": losses.values, "scores": scores().tolist()}


@pytest.mark.parametrize("name", METHODS)
def test_ten_steps(name: str, request: pytest.FixtureRequest):
    file, computed = GOLDEN / f"{name}.json", ten_steps(name)
    if request.config.getoption("--update-golden"):
        file.write_text(json.dumps(computed, indent=1) + "\n")
    assert file.exists(), f"no golden file of {name}: run pytest tests/test_golden.py --update-golden"
    expected = json.loads(file.read_text())
    assert len(computed["losses"]) in (0, 10)
    close = CLOSE.get(METHODS[name], 1e-9)
    for key in ("losses", "scores"):
        assert computed[key] == pytest.approx(expected[key], rel=close, abs=close), key


def test_golden_files_belong_to_methods():
    assert {file.stem for file in GOLDEN.glob("*.json")} == set(METHODS)
