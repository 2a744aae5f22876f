"""Suite of the anomaly domain: how well a detector's scores rank anomalies of seen and unseen kinds above normals."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from datamodules.anomaly.batches import NORMAL, SEEN, UNSEEN, EvaluationBatch
from datamodules.anomaly.inputs import read_items
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.evaluation import anomaly_figures as figures
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.ranking import Ranking, ranking
from lit_unlearn.report import Row, reconstruction, write_atomically

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
    kind = data.test.kind.numpy()
    scores = predicted_scores(method, trainer, data.predict_dataloader(), len(kind))
    rankings, notes = rank_splits(scores, kind)
    members = {split: in_split(kind, split) for split in rankings}
    drawn = {
        "scores": figures.score_histogram(scores, kind),
        "curves": figures.ranking_curves(scores, kind, members, rankings),
    }
    if figures.are_pictures(data.test.x):
        drawn["extremes"] = figures.extremes(data.test.x, scores, kind)
        if hasattr(method, "loss") and hasattr(method.loss, "reconstruct"):
            shown = figures.spread_over_scores(scores, kind)
            restored = reconstruct(method, data.test.x[shown])
            drawn["reconstructions"] = figures.reconstructions(data.test.x[shown], restored, scores[shown], kind[shown])
    return Evaluation(
        rows=[*detection_rows(rankings, kind), *data_rows(data), *alpha_rows(method, data)],
        notes=[*reconstruction(type(method)), *notes, INTERVALS],
        figures=drawn,
        histograms={f"scores/{name}": scores[kind == k] for k, name in figures.KINDS.items() if (kind == k).any()},
        pr_curves={f"pr/{split}": _pr_curve(scores, kind, split) for split in rankings},
    )


def score(
    method: LightningModule,
    data: "AnomalyDataModule",
    trainer: Trainer,
    source: str,
    output: str | None,
    layout: str | None = None,
) -> str:
    """Scores a user's new items and writes them as CSV: item, score, percentile.

    The percentile is the share of held-out unlabeled training items that the item is more abnormal than, in per cent.

    Args:
        method: a trained detector.
        data: the data module it was trained with, not set up; scales tables as in training.
        trainer: runs the prediction.
        source: what `datamodules.anomaly.inputs.read_items` reads.
        output: the file to write.
        layout: of the lines of a log; of no use here.

    Returns:
        a line that says how many items were scored, and where the scores are.

    Raises:
        UserError: no output is named, or the items cannot be read or do not fit the detector.
        RunFailed: a score is not finite.
    """
    if output is None:
        raise UserError("output: missing; give output=scores.csv, where the scores of input are to be written")
    if layout is not None:
        raise UserError(
            f"layout={layout}: says how the lines of a log are cut, this detector is not for logs; leave it out"
        )
    names, x = read_items(source, data.input_shape)
    items = EvaluationBatch(torch.from_numpy(data.preprocess(x)), torch.zeros(len(x), dtype=torch.int64))
    scores = predicted_scores(method, trainer, data.evaluation_loader(items), len(x))
    quantiles: Any = method.unlabeled_quantiles
    percentiles = np.interp(scores, quantiles.double().cpu().numpy(), np.linspace(0, 100, 101))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["item", "score", "percentile"])
    writer.writerows((name, f"{s:.6g}", f"{p:.1f}") for name, s, p in zip(names, scores, percentiles, strict=True))
    write_atomically(Path(output), text.getvalue())
    return f"{len(names)} items scored: {output}"


def predicted_scores(method: LightningModule, trainer: Trainer, loader: DataLoader, num_items: int) -> NDArray:
    """(num_items,) float64 scores of the items of a loader, in their order.

    Raises:
        RunFailed: a score is not finite.
        RuntimeError: the trainer gave this process only a part of the items.
    """
    predictions: Any = trainer.predict(method, dataloaders=loader)
    scores = torch.cat(predictions).double().cpu().numpy()
    if len(scores) != num_items:
        raise RuntimeError(f"{len(scores)} scores for {num_items} items: the trainer must not share them out")
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise RunFailed(
            f"{len(broken)} of {num_items} anomaly scores are not finite (the first is that of item {broken[0]}: "
            f"{scores[broken[0]]}); training diverged, lower method.learning_rate and start again with overwrite=true"
        )
    return scores


def rank_splits(scores: NDArray, kind: NDArray) -> tuple[dict[str, Ranking], list[str]]:
    """The ranking of each split that has both normal items and anomalies, and a note on each that has not."""
    rankings, notes = {}, []
    for split, anomalies in SPLITS.items():
        chosen = in_split(kind, split)
        if len(np.unique(kind[chosen] != NORMAL)) == 2:
            rankings[split] = ranking(scores[chosen], kind[chosen] != NORMAL, kind[chosen])
        else:
            missing = "normal items" if np.isin(kind, anomalies).any() else "such anomalies"
            notes.append(f"detection, split {split}: absent, the test set holds no {missing}")
    return rankings, notes


def detection_rows(rankings: dict[str, Ranking], kind: NDArray) -> list[Row]:
    counts = {split: int(in_split(kind, split).sum()) for split in rankings}
    auroc = [Row("detection", s, "auroc", r.auroc, counts[s], r.auroc_ci95, "higher") for s, r in rankings.items()]
    auprc = [Row("detection", s, "auprc", r.auprc, counts[s], r.auprc_ci95, "higher") for s, r in rankings.items()]
    return auroc + auprc


def data_rows(data: "AnomalyDataModule") -> list[Row]:
    """The realised contamination of the unlabeled training items beside the one asked for; the number of labels."""
    assert data.parts is not None
    num_unlabeled, num_labelled = len(data.unlabeled), len(data.labelled)
    contamination, asked = data.parts.contamination, data.budget.contamination
    return [
        Row("data", "unlabeled", "contamination", contamination, num_unlabeled, None, "target", asked),
        Row("data", "labelled", "items", num_labelled, num_labelled, None, "target"),
    ]


def alpha_rows(method: LightningModule, data: "AnomalyDataModule") -> list[Row]:
    """The method's alpha, given or estimated, beside the realised share of anomalies that it stands for."""
    alpha: Any = getattr(method, "alpha", None)
    if alpha is None:
        return []
    assert data.parts is not None
    return [
        Row("method", "unlabeled", "alpha", float(alpha), len(data.unlabeled), None, "target", data.parts.contamination)
    ]


@torch.no_grad()
def reconstruct(method: LightningModule, x: torch.Tensor) -> torch.Tensor:
    """What the method's autoencoder makes of the items, in eval mode; same shape, on the CPU."""
    autoencoder: Any = method.loss
    was_training = autoencoder.training
    autoencoder.eval()
    restored = autoencoder.reconstruct(x.to(method.device)).float().cpu()
    autoencoder.train(was_training)
    return restored


def in_split(kind: NDArray, split: str) -> NDArray[np.bool_]:
    return np.isin(kind, (NORMAL, *SPLITS[split]))


def _pr_curve(scores: NDArray, kind: NDArray, split: str) -> tuple[NDArray, NDArray]:
    """Truths and scores as ranks in (0, 1]: TensorBoard's thresholds are evenly spaced there."""
    chosen = in_split(kind, split)
    ranks = np.unique(scores[chosen], return_inverse=True)[1] + 1
    return kind[chosen] != NORMAL, ranks / ranks.max()
