"""Suite of the anomaly domain: how well a detector's scores rank anomalies of seen and unseen kinds above normals."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray

from datamodules.anomaly.batches import NORMAL, SEEN, UNSEEN
from lit_unlearn.errors import RunFailed
from lit_unlearn.evaluation import anomaly_figures as figures
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.ranking import Ranking, ranking
from lit_unlearn.report import Row

if TYPE_CHECKING:
    from datamodules.anomaly.base import AnomalyDataModule

SPLITS = {"all": (SEEN, UNSEEN), "seen": (SEEN,), "unseen": (UNSEEN,)}
"""Which kinds of anomalies each split ranks against all normal test items."""

INTERVALS = "intervals: stratified bootstrap of the test items, 1000 resamples; they do not cover the choice of seed"


def evaluate(method: LightningModule, data: "AnomalyDataModule", trainer: Trainer) -> Evaluation:
    """Scores the test items and compares the kinds.

    Every process scores all items, so each ends with the same result; the trainer must not distribute samplers.

    Args:
        method: a trained detector, `predict_step(EvaluationBatch) -> (B,) scores`, higher for what is more abnormal.
        data: the data it was trained on, set up.
        trainer: runs the prediction.

    Returns:
        rows: detection/auroc and detection/auprc for the splits all, seen and unseen, as far as the test set has
            such items; data/contamination and data/items describe the training data; method/alpha the share of
            anomalies that the method went by, if it has one.

    Raises:
        RunFailed: a score is not finite.
    """
    scores = test_scores(method, data, trainer)
    kind = data.test.kind.numpy()
    rankings, notes = rank_splits(scores, kind)
    drawn = {"scores": figures.score_histogram(scores, kind), "curves": figures.ranking_curves(scores, kind, rankings)}
    if figures.are_pictures(data.test.x):
        drawn["extremes"] = figures.extremes(data.test.x, scores, kind)
        if hasattr(method, "loss") and hasattr(method.loss, "reconstruct"):
            shown = figures.spread_over_scores(scores, kind)
            restored = reconstruct(method, data.test.x[shown])
            drawn["reconstructions"] = figures.reconstructions(data.test.x[shown], restored, scores[shown], kind[shown])
    return Evaluation(
        rows=[*detection_rows(rankings, kind), *data_rows(data), *alpha_rows(method, data)],
        notes=[*notes, INTERVALS],
        figures=drawn,
        histograms={f"scores/{name}": scores[kind == k] for k, name in figures.KINDS.items() if (kind == k).any()},
        pr_curves={f"pr/{split}": _pr_curve(scores, kind, split) for split in rankings},
    )


def test_scores(method: LightningModule, data: "AnomalyDataModule", trainer: Trainer) -> NDArray[np.float64]:
    """(N,) scores of the test items, in their order.

    Raises:
        RunFailed: a score is not finite.
        RuntimeError: the trainer gave this process only a part of the items.
    """
    predictions = trainer.predict(method, dataloaders=data.predict_dataloader())
    scores = torch.cat(predictions).double().cpu().numpy()
    if len(scores) != len(data.test.kind):
        raise RuntimeError(f"{len(scores)} scores for {len(data.test.kind)} items: use_distributed_sampler must be False")
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise RunFailed(
            f"evaluation: {len(broken)} of {len(scores)} anomaly scores are not finite (the first is that of test item "
            f"{broken[0]}: {scores[broken[0]]}); the training diverged, lower method.learning_rate"
        )
    return scores


def rank_splits(scores: NDArray, kind: NDArray) -> tuple[dict[str, Ranking], list[str]]:
    """The ranking of each split that has both normal items and anomalies, and a note on each that has not."""
    rankings, notes = {}, []
    for split, anomalies in SPLITS.items():
        chosen = _chosen(kind, split)
        if len(np.unique(kind[chosen] != NORMAL)) == 2:
            rankings[split] = ranking(scores[chosen], kind[chosen] != NORMAL, kind[chosen])
        else:
            missing = "normal items" if np.isin(kind, anomalies).any() else "such anomalies"
            notes.append(f"detection, split {split}: absent, the test set holds no {missing}")
    return rankings, notes


def detection_rows(rankings: dict[str, Ranking], kind: NDArray) -> list[Row]:
    counts = {split: int(_chosen(kind, split).sum()) for split in rankings}
    auroc = [Row("detection", s, "auroc", r.auroc, counts[s], r.auroc_ci95, "higher") for s, r in rankings.items()]
    auprc = [Row("detection", s, "auprc", r.auprc, counts[s], r.auprc_ci95, "higher") for s, r in rankings.items()]
    return auroc + auprc


def data_rows(data: "AnomalyDataModule") -> list[Row]:
    """The realised contamination of the unlabeled training items beside the one asked for, and how many were labelled."""
    assert data.parts is not None
    num_unlabeled, num_labelled = len(data.unlabeled), len(data.labelled)
    contamination, asked = data.parts.contamination, data.budget.contamination
    return [
        Row("data", "unlabeled", "contamination", contamination, num_unlabeled, None, "target", asked),
        Row("data", "unlabeled", "items", num_unlabeled, num_unlabeled, None, "target"),
        Row("data", "labelled", "items", num_labelled, num_labelled, None, "target"),
    ]


def alpha_rows(method: LightningModule, data: "AnomalyDataModule") -> list[Row]:
    """The method's alpha, given or estimated, beside the realised share of anomalies that it stands for."""
    if not hasattr(method, "alpha"):
        return []
    assert data.parts is not None
    anomalies, items = data.parts.contamination * len(data.unlabeled), len(data.unlabeled)
    if getattr(method, "unlabeled_includes_labelled", False):
        anomalies, items = anomalies + len(data.labelled), items + len(data.labelled)
    return [Row("method", "unlabeled", "alpha", float(method.alpha), items, None, "target", anomalies / items)]


@torch.no_grad()
def reconstruct(method: LightningModule, x: torch.Tensor) -> torch.Tensor:
    """What the method's autoencoder makes of the items, in eval mode; same shape, on the CPU."""
    was_training = method.loss.training
    method.loss.eval()
    restored = method.loss.reconstruct(x.to(method.device)).float().cpu()
    method.loss.train(was_training)
    return restored


def _chosen(kind: NDArray, split: str) -> NDArray[np.bool_]:
    return np.isin(kind, (NORMAL, *SPLITS[split]))


def _pr_curve(scores: NDArray, kind: NDArray, split: str) -> tuple[NDArray, NDArray]:
    """Truths and scores as ranks in (0, 1]: TensorBoard's thresholds are evenly spaced there."""
    chosen = _chosen(kind, split)
    ranks = np.unique(scores[chosen], return_inverse=True)[1] + 1
    return kind[chosen] != NORMAL, ranks / ranks.max()
