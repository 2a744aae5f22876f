"""The forest in Lightning's loop: grown once, saved by the usual callbacks, the same in a fresh process."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn import ensemble

from tests.anomaly_data import Generated, build_method, trainer

FRESH = """
import torch
from lit_unlearn.methods.anomaly.isolation_forest import IsolationForest
for name in ("best", "last"):
    method = IsolationForest()
    method.load_state_dict(torch.load(f"{name}.ckpt", weights_only=True)["state_dict"])
    torch.save(method(torch.load("items.pt", weights_only=True)), f"{name}.pt")
"""


@pytest.mark.slow
def test_fits_quietly_saves_and_loads_in_a_fresh_process(tmp_path: Path):
    data = Generated()
    method = build_method("isolation_forest", [1, 8, 8])
    saver = ModelCheckpoint(tmp_path, filename="best", monitor="val/auroc", mode="max", save_last=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = trainer(max_epochs=100, callbacks=[saver], enable_checkpointing=True)
        fit.fit(method, datamodule=data)
    said = [str(warning.message) for warning in caught]
    assert not [line for line in said if "optimizer" in line or "training_step" in line or "`None`" in line], said
    assert fit.global_step == 1 and fit.current_epoch <= 1
    assert 0.5 < fit.callback_metrics["val/auroc"] <= 1

    # The scores are those of scikit-learn on the flattened unlabeled items.
    items, unlabeled = data.test.x.flatten(1).numpy(), data.unlabeled.flatten(1).numpy()
    theirs = ensemble.IsolationForest(random_state=data.seed).fit(unlabeled)
    np.testing.assert_allclose(method(data.test.x).numpy(), -theirs.score_samples(items), rtol=1e-12)

    torch.save(data.test.x, tmp_path / "items.pt")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", FRESH], check=True, cwd=tmp_path, env=environment, timeout=100)
    for name in ("best", "last"):
        assert torch.equal(torch.load(tmp_path / f"{name}.pt", weights_only=True), method(data.test.x))


def test_resumes_to_the_same_forest(tmp_path: Path):
    first = build_method("isolation_forest", [1, 8, 8])
    fit = trainer(max_epochs=2)
    fit.fit(first, datamodule=Generated())
    fit.save_checkpoint(tmp_path / "last.ckpt")
    again = build_method("isolation_forest", [1, 8, 8])
    trainer(max_epochs=2).fit(again, datamodule=Generated(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())
