"""Suite of the robust domain: accuracy on clean pictures and under attack, of the best and the last checkpoint."""

import csv
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules.anomaly.inputs import read_items
from lit_unlearn import checkpoint
from lit_unlearn.attacks import masking
from lit_unlearn.attacks.autoattack import Verdict, autoattack
from lit_unlearn.attacks.ball import Ball
from lit_unlearn.attacks.gradient import Attacked, cross_entropy, fgsm, pgd_on_standing
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import robust_figures as figures
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.evaluation.rows import rate_row
from lit_unlearn.report import Row, reconstruction, write_atomically

if TYPE_CHECKING:
    from datamodules.robust.base import RobustDataModule

STEPS = 20
"""Of the PGD that is reported, each an eighth of eps, from one uniform start."""
CURVE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Multiples of eps at which the curve of the accuracy is drawn."""
BATCH = 500


@dataclass(frozen=True)
class Judged:
    """One checkpoint's network under every attack.

    Attributes:
        clean, fgsm: (N,) bool: rightly classified.
        pgd: PGD-20.
        autoattack: of the first pictures.
        notes: signs of gradient masking.
    """

    clean: Tensor
    fgsm: Tensor
    pgd: Attacked
    autoattack: Verdict
    notes: list[str]


def evaluate(method: LightningModule, data: "RobustDataModule", trainer: Trainer) -> Evaluation:
    """Judges a method as it is, as its `last` checkpoint; see `evaluate_run`."""
    return _evaluation(method, {"last": method}, data, trainer, None)


def evaluate_run(method: LightningModule, weights: Path, data: "RobustDataModule", trainer: Trainer) -> Evaluation:
    """Judges a run's best and last checkpoint: robust accuracy falls late in training, so that both are told.

    What AutoAttack broke is kept in `attacks` beside the checkpoints, and gone on with after an interruption.

    Args:
        method: of `weights`, with `judged` (the network) and `ball`.
        weights: best.ckpt or last.ckpt.
        data: set up.
        trainer: says which device.

    Returns:
        rows accuracy/clean, fgsm, pgd20 and autoattack for the splits best and last, as far as there are such
        checkpoints, with Wilson intervals.
    """
    runs = {weights.stem: method}
    for name in (checkpoint.BEST, checkpoint.LAST):
        path = weights.parent / name
        if path.stem not in runs and path.is_file():
            runs[path.stem] = checkpoint.load_method(path)[0]
    return _evaluation(method, runs, data, trainer, weights.parent / "attacks")


def _evaluation(
    method: Any, runs: dict[str, Any], data: "RobustDataModule", trainer: Trainer, folder: Path | None
) -> Evaluation:
    device = trainer.strategy.root_device
    judged: dict[str, Judged] = {}
    for split in sorted(runs):
        network = runs[split].judged.eval().to(device)
        twin = next((other for other in judged if _same(runs[other].judged, network)), None)
        state = None if folder is None else folder / f"{split}.safetensors"
        judged[split] = judged[twin] if twin else judge(network, method.ball, data, state)
    shown, network = next(iter(judged)), runs[next(iter(judged))].judged
    x, y = data.test.all()
    marks = [note for split, found in judged.items() for note in (f"{split}: {line}" for line in found.notes)]
    return Evaluation(
        rows=[row for split, found in judged.items() for row in rows(found, split)],
        notes=[*reconstruction(type(method)), *_notes(method, data, judged), *marks],
        figures={
            "attacks": figures.attacks(x, judged[shown].pgd, _predictions(network, x), network, y, data.class_names),
            "curve": figures.curve({s: curve(runs[s].judged, method.ball, data) for s in judged}, method.ball),
        },
    )


def judge(network: torch.nn.Module, ball: Ball, data: "RobustDataModule", state: Path | None = None) -> Judged:
    """A network in eval mode under each attack.

    Args:
        network: to (B, K) logits, on the device to compute on.
        ball: of the attacks.
        data: set up.
        state: where AutoAttack keeps what it found.
    """
    device = next(network.parameters()).device
    x, y = (part.to(device) for part in data.test.all())
    clean, one_step, pgd = [], [], []
    for number, (part, of) in enumerate(zip(x.split(BATCH), y.split(BATCH), strict=True)):
        clean.append(_predictions(network, part) == of)
        stepped = fgsm(network, part, partial(cross_entropy, y=of), ball)
        one_step.append(clean[-1] & (_predictions(network, stepped) == of))
        pgd.append(pgd20(network, part, of, ball, number))
    joined = Attacked(torch.cat([p.standing for p in pgd]), torch.cat([p.x for p in pgd]))
    clean_all, fgsm_all = torch.cat(clean), torch.cat(one_step)
    some = slice(data.num_autoattack)
    verdict = autoattack(network, x[some], y[some], ball, state=state)
    _, unbounded = masking.unbounded_attack(network, x[:BATCH], y[:BATCH])
    steps = masking.more_steps_do_not_help(fgsm_all.float().mean().item(), joined.standing.float().mean().item())
    signs = [masking.black_box_wins(verdict.broken, len(verdict.standing)), steps, unbounded]
    return Judged(clean_all, fgsm_all, joined, verdict, [sign for sign in signs if sign])


def pgd20(network: torch.nn.Module, x: Tensor, y: Tensor, ball: Ball, seed: int) -> Attacked:
    """PGD-20 with steps of eps / 8; the random start is a function of the seed."""
    generator = torch.Generator(x.device).manual_seed(seed)
    return pgd_on_standing(network, x, y, ball, max(ball.eps, 1e-6) / 8, STEPS, generator=generator)


def curve(network: torch.nn.Module, ball: Ball, data: "RobustDataModule") -> list[tuple[float, float]]:
    """(eps, accuracy under PGD-20) at 0 and at `CURVE` multiples, on the first pictures of the test."""
    device = next(network.parameters()).device
    x, y = (part[:BATCH].to(device) for part in data.test.all())
    radii = [0.0, *(factor * ball.eps for factor in CURVE)]
    return [(eps, pgd20(network, x, y, Ball(ball.norm, eps), 0).standing.float().mean().item()) for eps in radii]


def rows(found: Judged, split: str) -> list[Row]:
    """The rows of a checkpoint."""
    right = {
        "clean": found.clean,
        "fgsm": found.fgsm,
        "pgd20": found.pgd.standing,
        "autoattack": found.autoattack.standing,
    }
    return [rate_row("accuracy", split, metric, stands, "higher") for metric, stands in right.items()]


def _notes(method: Any, data: "RobustDataModule", judged: dict[str, Judged]) -> list[str]:
    ball: Ball = method.ball
    first = next(iter(judged.values())).autoattack
    broken = ", ".join(f"{name} {count}" for name, count in first.broken.items())
    averaged = " of the averaged weights" if method.judged is not method.net else ""
    return [
        f"attacks: {ball.norm} ball of eps {ball.eps:.4g} on pictures in [0, 1]; fgsm one step; pgd20 {STEPS} steps of "
        f"eps / 8 from one random start; autoattack the standard ensemble on the first {len(first.standing)} test "
        f"pictures, broken by {broken} ({next(iter(judged))}){averaged}",
        "intervals: Wilson, of the test pictures; they do not cover the choice of seed",
        f"best: the checkpoint with the highest {method.selected_by} on held-out training pictures; last: the end of "
        "training",
    ]


def _predictions(network: torch.nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part).argmax(1) for part in x.to(next(network.parameters()).device).split(BATCH)])


def _same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two networks have the same weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def score(
    method: LightningModule,
    data: "RobustDataModule",
    trainer: Trainer,
    source: str,
    output: str | None,
    layout: str | None = None,
) -> str:
    """Classifies a user's new pictures, and attacks each: item, class, probability, stands (under PGD-20), as CSV.

    Args:
        method: trained.
        data: the data module it was trained with, not set up.
        trainer: says which device.
        source: what `datamodules.anomaly.inputs.read_items` reads.
        output: the file to write.
        layout: of the lines of a log; of no use here.

    Returns:
        a line that says how many pictures were classified, and where that is.

    Raises:
        UserError: no output is named, or the pictures cannot be read, do not fit or do not lie in [0, 1].
    """
    if output is None:
        raise UserError("output: missing; give output=classes.csv, where the classes of input are to be written")
    if layout is not None:
        raise UserError(f"layout={layout}: says how the lines of a log are cut, these are pictures; leave it out")
    names, items = read_items(source, data.input_shape)
    module: Any = method
    network, x = module.judged.eval().to(trainer.strategy.root_device), torch.from_numpy(items)
    x = x.to(trainer.strategy.root_device)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["item", "class", "probability", "stands"])
    for number, rows_of in enumerate(torch.arange(len(x)).split(BATCH)):
        with torch.no_grad():
            probability, label = network(x[rows_of]).softmax(1).max(1)
        stands = pgd20(network, x[rows_of], label, module.ball, number).standing
        for row, k, p, s in zip(rows_of, label, probability, stands, strict=True):
            writer.writerow([names[int(row)], data.class_names[int(k)], f"{p:.4f}", int(s)])
    write_atomically(Path(output), text.getvalue())
    return f"{len(names)} pictures classified: {output}"
