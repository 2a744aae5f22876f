"""What holds for every method of experiments/method/: a new one is tested by existing."""

from pathlib import Path

import pytest
import torch

from lit_unlearn import config, nodes
from lit_unlearn.methods.anomaly.base import NetworkDetector
from tests.anomaly_data import METHODS, Generated, build_method, method_node, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")


def test_all_are_there():
    baselines = {"autoencoder", "deep_svdd", "deep_sad", "abc", "pu_classifier", "loe", "soel", "isolation_forest"}
    assert set(METHODS) >= baselines | {"pu_svdd", "pu_autoencoder"}


@pytest.mark.parametrize("name", METHODS)
def test_file_describes_the_method_and_its_arguments(name: str):
    first = config.choices("method")[name]
    assert ": " in first and len(first) < 110
    node = method_node(name)
    target = nodes.imported(node["_target_"])
    arguments = nodes.arguments_of(target)
    assert set(node) <= {"_target_", *arguments}
    # The problem is handed to every method alike; only values that differ from the defaults stand beside it.
    group = (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
    for argument, line in [
        ("alpha", "data.contamination"),
        ("network", "model.network"),
        ("representation", "model.representation"),
    ]:
        assert (f"{argument}: ${{{line}}}" in group) == (argument in arguments)
    for key in set(node) - {"_target_", "alpha", "network", "representation"}:
        assert node[key] != arguments[key][1], f"{key} is the default"
    module = __import__(target.__module__, fromlist=["x"]).__doc__
    assert f"method={name}" in module or f"experiment={name}/" in module


@pytest.mark.parametrize("shape", [(1, 8, 8), (6,)])
@pytest.mark.parametrize("name", METHODS)
def test_weights_move_and_scores_differ(name: str, shape: tuple[int, ...]):
    """A detector was once shipped with its backward pass switched off, and another with a zero centre."""
    data = Generated(shape)
    data.setup()
    method = build_method(name, list(shape), weight_decay=0.0, learning_rate=1e-3)  # decay alone would move weights
    before = {key: value.clone() for key, value in method.named_parameters()}
    fit = trainer(max_epochs=4)
    fit.fit(method, datamodule=data)
    assert 0 <= fit.callback_metrics["val/auroc"] <= 1  # nothing is claimed of four epochs on a few items
    for key, value in method.named_parameters():
        assert not torch.equal(value, before[key]), f"{key} has not moved"
        assert value.isfinite().all()
    scores = torch.cat(fit.predict(method, datamodule=data))
    assert scores.shape == (len(data.test.x),) and scores.isfinite().all()
    assert len(scores.unique()) > 0.9 * len(scores)


@pytest.mark.parametrize("name", METHODS)
def test_checkpoint_holds_all_of_it(name: str, tmp_path: Path):
    """Read with weights_only=True into a freshly built method: bitwise the same scores."""
    data = Generated()
    method = build_method(name, [1, 8, 8])
    fit = trainer(max_epochs=1)
    fit.fit(method, datamodule=data)
    fit.save_checkpoint(tmp_path / "last.ckpt")
    method.eval()
    fresh = build_method(name, [1, 8, 8], seed=1).eval()
    fresh.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    assert torch.equal(fresh(data.test.x), method(data.test.x))
    prefixes = {".".join(key.split(".")[:2]) for key in fresh.state_dict() if key.startswith("loss.")}
    if isinstance(method, NetworkDetector):
        assert prefixes <= {"loss.encoder", "loss.decoder", "loss.centre", "loss.head"}


@pytest.mark.parametrize("name", METHODS)
def test_score_of_an_item_does_not_depend_on_its_neighbours(name: str):
    data = Generated()
    method = build_method(name, [1, 8, 8])
    trainer(max_epochs=1).fit(method, datamodule=data)
    method.eval()
    with torch.no_grad():
        together = method(data.test.x)
        apart = torch.cat([method(part) for part in data.test.x.split(7)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in METHODS if "alpha" in nodes.arguments_of(config.method_class(name))])
def test_alpha_can_be_estimated(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lit_unlearn.methods.anomaly.pu.estimate_contamination", lambda u, a, seed: 0.25)
    method = build_method(name, [1, 8, 8], alpha="estimate")
    assert method.alpha.isnan()
    trainer(max_epochs=1, limit_train_batches=1).fit(method, datamodule=Generated())
    assert method.alpha.item() == 0.25
