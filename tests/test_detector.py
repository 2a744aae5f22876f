"""The scikit-learn wrapper: equal to the plain LightningModule, at home in scikit-learn, clear about bad input."""

import logging
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules.anomaly.digits import Digits
from lit_unlearn import checkpoint, fit
from lit_unlearn.detector import PUDetector
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.methods.anomaly.pu_svdd import PUSVDD
from lit_unlearn.metrics.contamination import estimate_contamination
from lit_unlearn.reproducibility import StepSeed
from tests.anomaly_data import METHODS, Generated, trainer

SMALL = {"epochs": 3, "batch_size": 40, "labelled_batch_size": 20, "accelerator": "cpu"}


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """200 unlabeled rows of which a tenth is far off, then 20 known anomalies: rows, y, and the truth."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 1], [180, 20, 20])
    x = rng.normal(size=(220, 5)) * [1, 10, 100, 1, 1] + 2.5 * truth[:, None] * [1, 10, 100, 1, 1]
    return x, np.repeat([0, 1], [200, 20]), truth


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray, Generated]:
    data = Generated()
    data.setup()
    x = np.concatenate([data.unlabeled.numpy(), data.labelled.numpy()])
    return x, np.repeat([0, 1], [len(data.unlabeled), len(data.labelled)]), data


def test_it_is_the_plain_lightning_module_on_the_same_data(pictures):
    x, y, data = pictures
    wrapped = PUDetector("pu_svdd", alpha=0.1, seed=0, **SMALL, representation=8).fit(x, y)
    torch.manual_seed(0)
    plain = PUSVDD(input_shape=data.input_shape, alpha=0.1, representation=8)
    trainer(max_epochs=3, limit_val_batches=0).fit(plain, data)
    with torch.no_grad():
        expected = plain.eval()(data.test.x).double().numpy()
    assert (wrapped.decision_function(data.test.x.numpy()) == expected).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_scores_and_flags(table, method: str):
    x, y, truth = table
    detector = PUDetector(method, **SMALL | {"epochs": 10}).fit(x, y)
    assert detector.decision_scores_.shape == (220,)
    assert roc_auc_score(truth, detector.decision_scores_) > 0.6
    assert (detector.n_features_in_, detector.input_shape_) == (5, [5])
    assert detector.labels_[y == 0].sum() == 20  # alpha of the 200 unlabeled rows
    assert (detector.predict(x) == detector.labels_).all()


def test_the_threshold_is_the_quantile_of_the_unlabeled_scores(table):
    x, y, _ = table
    detector = PUDetector(alpha=0.25, **SMALL).fit(x, y)
    assert detector.threshold_ == np.quantile(detector.decision_scores_[y == 0], 0.75)
    new = x[::3]
    assert (detector.predict(new) == (detector.decision_function(new) > detector.threshold_)).all()
    assert set(detector.predict(new)) == {0, 1}


def test_calibrate_sets_the_threshold_anew(table):
    x, y, _ = table
    detector = PUDetector(**SMALL).fit(x, y)
    detector.calibrate(x[:100])
    assert detector.threshold_ == np.quantile(detector.decision_function(x[:100]), 0.9)
    assert detector.labels_.sum() == 10


def test_tables_are_standardised_with_the_unlabeled_rows(table):
    x, y, _ = table
    detector = PUDetector(**SMALL).fit(x, y)
    assert detector.scaler_.mean_ == pytest.approx(x[y == 0].mean(0), rel=1e-5)
    assert detector.scaler_.scale_ == pytest.approx(x[y == 0].std(0), rel=1e-5)
    moved = PUDetector(**SMALL).fit(3 * x + 7, y)
    assert moved.decision_function(3 * x + 7) == pytest.approx(detector.decision_function(x), rel=1e-3)


def test_alpha_can_be_estimated(table):
    x, y, _ = table
    detector = PUDetector(alpha="estimate", **SMALL).fit(x, y)
    scaled = detector.scaler_.transform(x.astype(np.float32))
    assert detector.alpha_ == estimate_contamination(scaled[y == 0], scaled[y == 1], 0)
    assert float(detector.method_.alpha) == detector.alpha_ != 0.1


def test_the_seed_decides_and_the_callers_generators_are_left_alone(table):
    x, y, _ = table
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    first = PUDetector(**SMALL).fit(x, y).decision_scores_
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert (PUDetector(**SMALL).fit(x, y).decision_scores_ == first).all()
    assert (PUDetector(**SMALL, seed=1).fit(x, y).decision_scores_ != first).any()


def test_the_noise_of_steps_follows_the_seed(table, monkeypatch: pytest.MonkeyPatch):
    seeds = []
    monkeypatch.setattr("lit_unlearn.detector.StepSeed", lambda seed: seeds.append(seed) or StepSeed(seed))
    x, y, _ = table
    PUDetector(**SMALL, seed=3).fit(x, y)
    assert seeds == [3]


def test_fitting_says_nothing(table, capfd: pytest.CaptureFixture):
    x, y, _ = table
    level = logging.getLogger("lightning.pytorch").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PUDetector(**SMALL).fit(x, y)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lightning.pytorch").level == level


def test_uint8_pictures_are_brought_to_the_unit_interval(pictures):
    x, y, _ = pictures
    bytes_ = (255 * x).round().astype(np.uint8)
    detector = PUDetector(**SMALL).fit(bytes_, y)
    assert (detector.decision_function(bytes_) == detector.decision_function(bytes_.astype(np.float32) / 255)).all()
    assert detector.n_features_in_ == 64


def test_parameters_are_scikit_learns():
    detector = PUDetector("deep_sad", epochs=7, eta=2.0)
    assert detector.get_params() == {
        **{"method": "deep_sad", "alpha": 0.1, "epochs": 7, "batch_size": 128, "labelled_batch_size": 64},
        **{"accelerator": "auto", "seed": 0, "eta": 2.0},
    }
    copy = clone(detector)
    assert copy.get_params() == detector.get_params()
    copy.set_params(eta=3.0, seed=4, learning_rate=0.1)
    assert (copy.get_params()["eta"], copy.seed, copy.get_params()["learning_rate"]) == (3.0, 4, 0.1)
    assert detector.get_params()["eta"] == 2.0
    assert repr(detector) == "PUDetector(epochs=7, eta=2.0, method='deep_sad')"
    assert is_outlier_detector(detector)


def test_a_clone_trains_to_the_same_scores(table):
    x, y, _ = table
    detector = PUDetector(representation=4, **SMALL).fit(x, y)
    assert (clone(detector).fit(x, y).decision_scores_ == detector.decision_scores_).all()
    assert (PUDetector(representation=4, **SMALL).fit_predict(x, y) == detector.labels_).all()


def test_it_works_in_a_pipeline_cross_validation_and_a_search(table):
    x, y, truth = table
    pipeline = make_pipeline(StandardScaler(), PUDetector(learning_rate=3e-3, **SMALL))
    assert roc_auc_score(truth, pipeline.fit(x, y).decision_function(x)) > 0.9
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(pipeline, x, y, cv=folds, scoring="roc_auc", error_score="raise")
    assert (scores > 0.8).all()  # anomalies score high, as this scorer takes it
    grid = {"pudetector__representation": [4, 8], "pudetector__alpha": [0.1]}
    search = GridSearchCV(pipeline, grid, cv=folds, scoring="roc_auc", error_score="raise").fit(x, y)
    assert search.best_estimator_[-1].method_.loss.centre.shape == (search.best_params_["pudetector__representation"],)


def test_it_survives_pickling(table):
    x, y, _ = table
    detector = PUDetector(**SMALL).fit(x, y)
    copy = pickle.loads(pickle.dumps(detector))
    assert (copy.predict(x) == detector.predict(x)).all()
    assert detector.method_._trainer is None, "a trainer would hold the training data"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0, "alpha": 1.5}, r"PUDetector\.alpha=1\.5: .*\nPUDetector\.epochs=0: "),
        ({"representaton": 3}, r"PUSVDD\.representaton=3: .*did you mean representation"),
        ({"representation": 0}, r"PUSVDD\.representation=0: "),
    ],
)
def test_arguments_are_checked_before_training(table, arguments: dict, message: str):
    x, y, _ = table
    with pytest.raises(ValueError, match=message):
        PUDetector(**arguments).fit(x, y)


def test_an_unknown_method_is_named(table):
    x, y, _ = table
    with pytest.raises(UserError, match="method=pusvdd: no such method; did you mean pu_svdd"):
        PUDetector("pusvdd").fit(x, y)


def test_bad_data_are_named(table, pictures):
    x, y, _ = table
    broken = x.copy()
    broken[7, 2] = np.nan
    for bad_x, bad_y, message in [
        (broken, y, r"X: row 7 .* holds NaN"),
        (x[:, :, None], y, r"X: shape \(220, 5, 1\), must be \(N, F\)"),
        (200 * pictures[0], pictures[1], r"X: values from 0 to 200, pictures must be uint8"),
        (x, np.zeros(220), "y: holds no 1, so there is no known anomaly to learn from; give at least one"),
        (x, np.ones(220), "y: holds no 0, so there is no unlabeled item"),
        (x, y - 1, r"y: holds -1, must be 1 \(known anomaly\) or 0 \(unlabeled\)"),
        (x, y[:-1], r"y: shape \(219,\), must be \(220,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            PUDetector(**SMALL).fit(bad_x, bad_y)


def test_new_items_must_have_the_shape_of_the_old(table):
    x, y, _ = table
    with pytest.raises(NotFittedError):
        PUDetector().predict(x)
    with pytest.raises(ValueError, match=r"X: items of shape \(4,\), the detector was trained on \(5,\)"):
        PUDetector(**SMALL).fit(x, y).predict(x[:, :4])


def test_training_that_diverges_is_reported(table):
    x, y, _ = table
    with pytest.raises(RunFailed, match="training diverged"):
        PUDetector(**SMALL, learning_rate=1e30).fit(x, y)


@pytest.mark.parametrize("method", ["pu_svdd", "isolation_forest"])
def test_a_checkpoint_of_a_run_is_loaded(tmp_path: Path, method: str):
    run_dir = tmp_path / "run"
    overrides = [f"method={method}", "trainer.max_epochs=2", f"run_dir={run_dir}", "evaluate=false"]
    fit.fit(["experiment=pu_svdd/digits", *overrides])
    detector = PUDetector.load(run_dir / "last.ckpt", alpha=0.2)
    data = checkpoint.load_data(run_dir / "last.ckpt")
    assert isinstance(data, Digits)
    data.setup()
    items = data.test.x.numpy()
    module, config = checkpoint.load_method(run_dir / "last.ckpt")
    with torch.no_grad():
        assert (detector.decision_function(items) == module(data.test.x).double().numpy()).all()
    assert detector.method == method
    assert detector.alpha == (0.2 if method == "isolation_forest" else config["data"]["contamination"])
    assert detector.input_shape_ == [1, 8, 8]
    with torch.no_grad():
        held_out = module(data.validation.x[data.validation.kind == 0]).double().numpy()
    assert detector.threshold_ == pytest.approx(np.quantile(held_out, 1 - detector.alpha), rel=0.02)
    assert 0 < detector.predict(items).mean() < 1
    assert clone(detector).get_params() == detector.get_params()


def test_a_run_without_validation_needs_calibrating(tmp_path: Path):
    run_dir = tmp_path / "run"
    overrides = ["trainer.max_epochs=1", f"run_dir={run_dir}", "evaluate=false", "trainer.limit_val_batches=0"]
    fit.fit(["experiment=pu_svdd/digits", *overrides])
    detector = PUDetector.load(run_dir / "last.ckpt")
    items = np.random.default_rng(0).uniform(size=(50, 1, 8, 8))
    with pytest.raises(NotFittedError, match=r"call calibrate\(X\) first"):
        detector.predict(items)
    assert detector.calibrate(items).predict(items).sum() == 6  # alpha 12/112: beyond position 43.75 of 49


def test_a_loaded_detector_scales_tables_as_in_its_training(tmp_path: Path):
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [300, 90])
    x = (rng.normal(size=(390, 4)) + 3 * truth[:, None]) * [1, 10, 100, 1000]
    (tmp_path / "adbench").mkdir()
    np.savez(tmp_path / "adbench" / "1_made.npz", X=x, y=truth)
    run_dir = tmp_path / "run"
    overrides = [
        f"data_root={tmp_path}",
        "data.name=made",
        "trainer.max_epochs=2",
        f"run_dir={run_dir}",
        "evaluate=false",
    ]
    fit.fit(["experiment=pu_svdd/adbench", *overrides])
    detector = PUDetector.load(run_dir / "best.ckpt")
    data: Any = checkpoint.load_data(run_dir / "best.ckpt")
    data.setup()
    raw = data.load().x(data.parts.test)
    assert np.abs(raw).max() > 100 > np.abs(data.test.x.numpy()).max()
    with torch.no_grad():
        expected = detector.method_(data.test.x).double().numpy()
    assert (detector.decision_function(raw) == expected).all()
