"""Suite of the domain diffusion: what a model draws, as a judge sees it, and how it differs from normal pictures."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.evaluation import diffusion_figures as figures
from lit_unlearn.evaluation.diffusion_drawing import drawn, normal_classes, starts
from lit_unlearn.evaluation.diffusion_forgetting import NOTES as FORGETTING_NOTES, attack_rows, forgetting_rows
from lit_unlearn.evaluation.diffusion_judge import TEST, VALIDATION, Judge, judge_of
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.evaluation.rows import beside, rate_row
from lit_unlearn.metrics.generated import frechet_distance, kernel_distance, nearest, precision_recall
from lit_unlearn.networks.feature_network import FeatureNetwork
from lit_unlearn.report import Row, reconstruction

if TYPE_CHECKING:
    from datamodules.diffusion.base import DiffusionDataModule

NOTES = [
    "generation/frechet is a Frechet distance in the features of the judge, a small classifier trained on this data "
    "set; it is no Inception FID and cannot be compared between data sets or judges",
    "intervals are Wilson's; they cover the choice of the noise, not that of the seed",
]
GRID = np.arange(0.025, 1, 0.05)
"""Timesteps, as shares of all, at which the denoising loss is measured."""


def evaluate(method: LightningModule, data: "DiffusionDataModule", trainer: Trainer) -> Evaluation:
    """Draws pictures and compares them with normal test pictures.

    Args:
        method: `sample(noise, classes, network)` draws, `losses_at` measures; see
            `lit_unlearn.methods.diffusion.base.Diffusion`.
        data: set up.
        trainer: says on which device.

    Returns:
        rows: generation/non_sensitive_rate, frechet, precision, recall (all), class_share (a split for each class);
            judge/accuracy (classes, groups) and sensitive_recall; memorisation/distance_ratio; denoising/loss (normal,
            sensitive); validation/non_sensitive_rate and frechet, by the judge that settings are chosen by; data/...
            A fine-tuned class-conditional model has forgetting/... and attack/..., see `diffusion_forgetting`.
            A fine-tuned model's rows of what it draws have the same of the model before as `before`.

    Raises:
        RunFailed: a generated picture is not finite.
    """
    any_method: Any = method.to(trainer.strategy.root_device)
    judge = judge_of(data, TEST)
    start = starts(data, data.num_samples, "judged", any_method.input_shape)
    classes = normal_classes(any_method, data, len(start))
    x = _finite(drawn(any_method, start, classes, at_once=data.drawn_at_once))
    rows, notes = _generation(x, judge, data), NOTES
    if any_method.model_block["path"] is not None:
        untouched = any_method.fresh_network()[0].to(any_method.device)
        x_before = drawn(any_method, start, classes, untouched, data.drawn_at_once)
        rows = beside(rows, _generation(x_before, judge, data))
        if any_method.is_conditional:
            rows = [*_forgetting(any_method, untouched, judge, data), *rows]
            notes = [*NOTES, *FORGETTING_NOTES]
    if data.feature_network is not None:
        found, note = _in_other_features(x, data, any_method.device)
        rows, notes = [*rows, *found], [*notes, note]
    losses = denoising_losses(any_method, data)
    copies, picture = _memorisation(x, judge, data)
    verdicts = judge.classes(x)
    sensitive = judge.is_sensitive(verdicts).numpy()
    names = [data.class_names[number] for number in verdicts[:64]]
    return Evaluation(
        rows=[
            *rows,
            *judge_rows(judge, data),
            *copies,
            *_denoising_rows(losses, data),
            *_validation_rows(x, data),
            *_data_rows(method, data),
        ],
        notes=[*reconstruction(type(method)), *any_method.notes, *notes, _weights_note(any_method)],
        figures={
            "samples": figures.sample_grid(x[:64], names, sensitive[:64], "Samples, and what the judge calls them"),
            "classes": figures.class_histogram(
                _shares(verdicts, data), _shares(data.test_normal.y, data), data.class_names, _is_sensitive(data)
            ),
            "neighbours": picture,
            "loss_by_timestep": figures.loss_by_timestep(
                GRID * any_method.num_timesteps, {name: values.mean(1).numpy() for name, values in losses.items()}
            ),
        },
    )


def score(*_: Any) -> str:
    """New pictures are not scored by this domain.

    Raises:
        UserError: always.
    """
    raise UserError("input: diffusion models draw pictures and score none; leave input out")


def _generation(x: Tensor, judge: Judge, data: "DiffusionDataModule") -> list[Row]:
    verdicts, features = judge.classes(x), judge.features(x)
    manifolds, n = precision_recall(judge.normal_features, features), len(x)
    shares, wanted = _shares(verdicts, data), _shares(data.test_normal.y, data)
    return [
        rate_row("generation", "all", "non_sensitive_rate", ~judge.is_sensitive(verdicts), "higher"),
        Row("generation", "all", "frechet", judge.frechet(x), n, None, "lower"),
        Row("generation", "all", "precision", manifolds.precision, n, None, "higher"),
        Row("generation", "all", "recall", manifolds.recall, len(judge.normal_features), None, "higher"),
        *(
            Row("generation", name, "class_share", float(share), n, None, "target", float(aim))
            for name, share, aim in zip(data.class_names, shares, wanted, strict=True)
        ),
    ]


def _in_other_features(x: Tensor, data: "DiffusionDataModule", device: torch.device) -> tuple[list[Row], str]:
    """FID and KID in the features of a pretrained network, and a note that names it."""
    assert data.feature_network is not None
    features = FeatureNetwork(data.feature_network, device)
    real, generated = features(data.test_normal.x), features(x)
    rows = [
        Row("generation", "all", "fid", frechet_distance(real, generated), len(x), None, "lower"),
        Row("generation", "all", "kid", kernel_distance(real, generated), len(x), None, "lower"),
    ]
    return rows, f"fid and kid are measured in the features of {features.name}, against {len(real)} test pictures"


def _forgetting(method: Any, untouched: Any, judge: Judge, data: "DiffusionDataModule") -> list[Row]:
    """What is drawn for the classes to forget, also under attack, beside the same of the model before."""
    count, steps, network = min(data.num_samples, 200), data.attack_steps, method.sampled_network.eval()
    untouched.eval()
    now, before = (
        [*forgetting_rows(method, judge, data, model), *attack_rows(method, judge, data, model, count, steps)]
        for model in (network, untouched)
    )
    return beside(now, before)


def judge_rows(judge: Judge, data: "DiffusionDataModule") -> list[Row]:
    """How far the judge can be trusted, on the test split that it has not seen."""
    said, truth = judge.classes(data.judge_test.x), data.judge_test.y
    sensitive = judge.is_sensitive(truth)
    return [
        rate_row("judge", "classes", "accuracy", said == truth, "higher"),
        rate_row("judge", "groups", "accuracy", judge.is_sensitive(said) == sensitive, "higher"),
        rate_row("judge", "all", "sensitive_recall", judge.is_sensitive(said[sensitive]), "higher"),
    ]


def _memorisation(x: Tensor, judge: Judge, data: "DiffusionDataModule") -> tuple[list[Row], Any]:
    """Whether pictures are copies: their distance to the nearest training picture beside that of test pictures."""
    training = judge.features(data.unlabeled.x)
    distances, neighbour = nearest(judge.features(x), training)
    usual = nearest(judge.normal_features, training)[0].median().item()
    ratio = distances.median().item() / max(usual, 1e-12)
    closest = distances.argsort()[: figures.COLUMNS]
    row = Row("memorisation", "all", "distance_ratio", ratio, len(x), None, "target", 1.0)
    return [row], figures.neighbours(x[closest], data.unlabeled.x[neighbour[closest]], distances[closest])


@torch.no_grad()
def denoising_losses(method: Any, data: "DiffusionDataModule", most: int = 200) -> dict[str, Tensor]:
    """(T, N) losses of normal and of sensitive test pictures at the timesteps of `GRID`, with the same noise for all
    models of a seed, by the weights that samples are drawn with."""
    network, found = method.network, {}
    method.network = method.sampled_network.eval()
    for name, pictures in (("normal", data.test_normal), ("sensitive", data.test_sensitive)):
        x, y = method.encode(pictures.x[:most].to(method.device)), pictures.y[:most].to(method.device)
        noise = starts(data, len(x), "denoised", method.input_shape).to(method.device)
        parts = torch.arange(len(x)).split(data.drawn_at_once)
        rows = []
        for share in GRID:
            t = torch.full((len(x),), int(share * method.num_timesteps), device=method.device)
            rows.append(torch.cat([method.losses_at(x[i], y[i], t[i], noise[i]) for i in parts]).cpu())
        found[name] = torch.stack(rows)
    method.network = network
    return found


def _denoising_rows(losses: dict[str, Tensor], data: "DiffusionDataModule") -> list[Row]:
    better: dict[str, Any] = {"normal": "lower", "sensitive": "higher"}
    return [
        Row("denoising", name, "loss", values.double().mean().item(), values.shape[1], None, better[name])
        for name, values in losses.items()
    ]


def _validation_rows(x: Tensor, data: "DiffusionDataModule") -> list[Row]:
    if len(data.validation_normal.x) < 2:
        return []
    judge = judge_of(data, VALIDATION)
    hits = ~judge.is_sensitive(judge.classes(x))
    return [
        rate_row("validation", "all", "non_sensitive_rate", hits, "higher"),
        Row("validation", "all", "frechet", judge.frechet(x), len(x), None, "lower"),
    ]


def _data_rows(method: Any, data: "DiffusionDataModule") -> list[Row]:
    count = len(data.unlabeled.x)
    rows = [
        Row("data", "unlabeled", "contamination", data.realised, count, None, "target", data.contamination),
        Row("data", "unlabeled", "items", count, count, None, "target"),
        Row("data", "labelled", "items", len(data.labelled.x), len(data.labelled.x), None, "target"),
        Row("data", "test_normal", "items", len(data.test_normal.x), len(data.test_normal.x), None, "target"),
    ]
    beta = getattr(method, "beta", None)
    if beta is not None:
        rows.append(Row("method", "unlabeled", "beta", float(beta), count, None, "target", data.realised))
    return rows


def _weights_note(method: Any) -> str:
    if method.average is None:
        return "samples are drawn with the weights of the last step"
    return "samples are drawn with the moving average of the weights, which is also what export/ holds"


def _shares(classes: Tensor, data: "DiffusionDataModule") -> np.ndarray:
    return np.bincount(classes.numpy(), minlength=data.num_classes) / len(classes)


def _is_sensitive(data: "DiffusionDataModule") -> np.ndarray:
    return np.isin(np.arange(data.num_classes), data.sensitive_classes)


def _finite(x: Tensor) -> Tensor:
    broken = int((~torch.isfinite(x).flatten(1).all(1)).sum())
    if broken:
        raise RunFailed(
            f"{broken} of {len(x)} generated pictures are not finite; training diverged, lower method.learning_rate "
            "and start again with overwrite=true"
        )
    return x
