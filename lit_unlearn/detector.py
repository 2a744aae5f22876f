"""Any detector of the anomaly domain as a scikit-learn estimator, in PyOD's convention: what is abnormal scores high.

A new detector, then a trained one:

    detector = PUDetector("pu_svdd", alpha=0.05).fit(X, y)  # y: 1 a known anomaly, 0 anything else
    scores, flags = detector.decision_function(X_new), detector.predict(X_new)
    flags = PUDetector.load("checkpoints/pu_svdd/digits/seed0/last.ckpt").predict(X_new)
"""
# ruff: noqa: N803  (X is scikit-learn's name)

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted

from datamodules.anomaly.arrays import Arrays
from datamodules.npz import finite_float32
from lit_unlearn import checkpoint, config, nodes
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.methods.anomaly.pu import Alpha
from lit_unlearn.metrics.contamination import estimate_contamination
from lit_unlearn.reproducibility import StepSeed

LOGGERS = ("lightning.pytorch", "lightning.fabric", "lit_unlearn", "datamodules")


class PUDetector(OutlierMixin, BaseEstimator):
    """An anomaly detector trained from unlabeled items, some of them anomalies, and a few known anomalies.

    Works in pipelines, with `clone` and in cross-validation (use `StratifiedKFold`: every fold needs known anomalies).
    Unlike scikit-learn's own outlier detectors, and like PyOD's, anomalies have high scores and the label 1.
    On a CPU the result is a function of the data, the arguments and the number of threads.

    Args:
        method: a name in experiments/method, such as `pu_svdd`, `pu_autoencoder`, `deep_sad`, `isolation_forest`.
        alpha: share of anomalies among the unlabeled items, in [0, 1), or `estimate`. Methods that use it are told,
            and for every method it sets the threshold of `predict`.
        epochs: passes over the unlabeled items.
        batch_size, labelled_batch_size: unlabeled items and known anomalies in an optimiser step.
        accelerator: of Lightning's Trainer: `auto`, `cpu`, `gpu`.
        seed: of weights, batches and noise. The generators of the caller are left as they were.
        method_arguments: of the method's constructor, such as `representation=32`.

    Attributes:
        method_: the trained LightningModule.
        alpha_: `alpha`, or its estimate.
        decision_scores_: (N,) scores of the training items.
        threshold_: the (1 - alpha_) quantile of the scores of the unlabeled training items.
        labels_: (N,) 1 where a training item scores above the threshold, else 0.
        n_features_in_: numbers in an item.
        input_shape_: shape of an item.
        scaler_: for tables the standardisation taken from the unlabeled training items; pictures are left as they are.
    """

    def __init__(
        self,
        method: str = "pu_svdd",
        *,
        alpha: Alpha = 0.1,
        epochs: Annotated[int, Field(ge=1)] = 50,
        batch_size: Annotated[int, Field(ge=2)] = 128,
        labelled_batch_size: Annotated[int, Field(ge=1)] = 64,
        accelerator: Literal["auto", "cpu", "gpu"] = "auto",
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
        **method_arguments: Any,
    ):
        self.method = method
        self.alpha = alpha
        self.epochs = epochs
        self.batch_size = batch_size
        self.labelled_batch_size = labelled_batch_size
        self.accelerator = accelerator
        self.seed = seed
        self.method_arguments = method_arguments

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return super().get_params(deep) | self.method_arguments

    def set_params(self, **params: Any) -> Self:
        own = self._get_param_names()
        self.method_arguments = self.method_arguments | {key: params[key] for key in params if key not in own}
        return super().set_params(**{key: params[key] for key in params if key in own})

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Trains a new detector.

        Args:
            X: (N, F) table, or (N, C, H, W) pictures in [0, 1] or uint8.
            y: (N,) 1 for known anomalies, 0 for unlabeled items.

        Raises:
            ValueError: X holds NaN, y has no 1 or no 0, an argument is unknown or out of range.
            UserError: there is no such method, or it does not fit the data.
            RunFailed: training diverged.
        """
        _check(PUDetector, super().get_params(deep=False))
        x = _items(X)
        known = _known_anomalies(y, len(x))
        self.scaler_ = StandardScaler() if x.ndim == 2 else FunctionTransformer()
        self.scaler_.fit(x[~known])
        self.input_shape_, self.n_features_in_ = list(x.shape[1:]), math.prod(x.shape[1:])
        arrays = self._scaled(x[~known]), self._scaled(x[known])
        data = Arrays(*arrays, self.batch_size, self.labelled_batch_size, self.seed)
        with isolate_rng(), _quiet():
            self.alpha_ = estimate_contamination(*arrays, self.seed) if self.alpha == "estimate" else self.alpha
            torch.manual_seed(self.seed)
            self.method_ = self._untrained()
            self._trainer().fit(self.method_, datamodule=data)
        self.method_.trainer = None  # it holds the training data
        self.method_.eval()
        return self._set_threshold(self.decision_function(X), ~known)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """(N,) anomaly scores of items like those of `fit`, higher for what is more abnormal."""
        check_is_fitted(self, "method_")
        x = _items(X)
        if list(x.shape[1:]) != self.input_shape_:
            raise ValueError(f"X: items of shape {x.shape[1:]}, the detector was trained on {tuple(self.input_shape_)}")
        batches = torch.from_numpy(self._scaled(x)).to(self.method_.device).split(1000)
        with torch.no_grad():
            return torch.cat([self.method_(batch) for batch in batches]).double().cpu().numpy()

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """(N,) 1 for items that score above the threshold, 0 for the others."""
        check_is_fitted(self, "method_")
        if not hasattr(self, "threshold_"):
            raise NotFittedError("loaded from a run without validation, hence no threshold; call calibrate(X) first")
        return (self.decision_function(X) > self.threshold_).astype(np.int64)

    def fit_predict(self, X: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:  # type: ignore[override]
        """Trains on X and y, as `fit`, and gives the training items' labels, 1 for abnormal."""
        return self.fit(X, y).labels_

    def calibrate(self, X: ArrayLike) -> Self:
        """Sets the threshold anew, at the (1 - alpha_) quantile of the scores of unlabeled items X."""
        scores = self.decision_function(X)
        return self._set_threshold(scores, np.ones(len(scores), dtype=bool))

    @classmethod
    def load(cls, checkpoint_path: str | Path, alpha: float = 0.1) -> Self:
        """A detector from a checkpoint of `python -m lit_unlearn.fit`, with items scaled as in its training.

        The threshold comes from the scores of the run's held-out unlabeled items; without validation there are none,
        and `calibrate` sets it. `decision_scores_` and `labels_` are those of `calibrate` only.

        Args:
            alpha: share of anomalies among unlabeled items, for methods that were not told one.

        Raises:
            UserError: the file is no checkpoint of ours.
        """
        method: Any  # of a class that is known when the file is read
        method, run = checkpoint.load_method(checkpoint_path)
        data: Any = checkpoint.load_data(checkpoint_path)
        set_here = ("_target_", "input_shape", "alpha")
        arguments = {key: value for key, value in run["method"].items() if key not in set_here}
        known = float(method.alpha) if hasattr(method, "alpha") else alpha
        detector = cls(nodes.component(run["method"]), alpha=known, seed=run["seed"], **arguments)
        detector.method_, detector.alpha_ = method, known
        detector.scaler_ = FunctionTransformer(data.preprocess)
        detector.input_shape_, detector.n_features_in_ = data.input_shape, math.prod(data.input_shape)
        if method.unlabeled_quantiles.isfinite().all():
            detector.threshold_ = float(torch.quantile(method.unlabeled_quantiles, 1 - known))
        return detector

    def _untrained(self) -> LightningModule:
        cls = config.method_class(self.method)
        offered = {"input_shape": self.input_shape_, "alpha": self.alpha_}
        accepted = nodes.arguments_of(cls)
        arguments = {key: value for key, value in offered.items() if key in accepted} | self.method_arguments
        _check(cls, arguments)
        return cls(**arguments)

    def _trainer(self) -> Trainer:
        return Trainer(
            max_epochs=self.epochs,
            accelerator=self.accelerator,
            devices=1,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[StepSeed(self.seed)],
        )

    def _scaled(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.scaler_.transform(x).astype(np.float32, copy=False)

    def _set_threshold(self, scores: NDArray[np.float64], unlabeled: NDArray[np.bool_]) -> Self:
        if not np.isfinite(scores).all():
            raise RunFailed("training diverged: anomaly scores are not finite; lower learning_rate")
        self.decision_scores_ = scores
        self.threshold_ = float(np.quantile(scores[unlabeled], 1 - self.alpha_))
        self.labels_ = (scores > self.threshold_).astype(np.int64)
        return self


def _items(X: ArrayLike) -> NDArray[np.float32]:
    try:
        x = finite_float32(np.asarray(X), "X")
    except UserError as error:
        raise ValueError(str(error)) from error
    if x.ndim not in (2, 4) or x.size == 0:
        raise ValueError(f"X: shape {x.shape}, must be (N, F) for tables or (N, C, H, W) for pictures")
    if x.ndim == 4 and np.asarray(X).dtype == np.uint8:
        return x / np.float32(255)
    if x.ndim == 4 and (x.min() < 0 or x.max() > 1):
        found = f"values from {x.min():g} to {x.max():g}"
        raise ValueError(f"X: {found}, pictures must be uint8 or lie in [0, 1]; scale them")
    return x


def _known_anomalies(y: ArrayLike, num_items: int) -> NDArray[np.bool_]:
    labels = np.asarray(y)
    if labels.shape != (num_items,):
        raise ValueError(f"y: shape {labels.shape}, must be ({num_items},), a label for each item of X")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y: holds {labels[~np.isin(labels, (0, 1))][0]}, must be 1 (known anomaly) or 0 (unlabeled)")
    for label, meaning in ((1, "known anomaly"), (0, "unlabeled item")):
        if not (labels == label).any():
            raise ValueError(f"y: holds no {label}, so there is no {meaning} to learn from; give at least one")
    return labels == 1


def _check(cls: type, arguments: dict[str, Any]) -> None:
    """Raises one ValueError for all unknown arguments, wrong types and values out of range of a constructor."""
    errors = nodes.check_node(cls.__name__, {"_target_": f"{cls.__module__}.{cls.__qualname__}"} | arguments, ())
    if errors:
        raise ValueError("\n".join(errors))


@contextmanager
def _quiet() -> Iterator[None]:
    """No lines and no advice from Lightning; other warnings remain."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
        warnings.simplefilter("ignore", PossibleUserWarning)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
