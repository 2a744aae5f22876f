"""Ratios of docs/robust.md: a training step, AutoAttack and PGD-20, each against what a user would otherwise run.

    python benchmarks/robust_speed.py [--torchattacks DIR] [--fashion DIR]

One process, one thread, CPU seconds of the process (they do not count the waiting on a shared machine), the compared
measured in turn: medians over rounds. The training step is PGD-10 on 8x8 digits through `fit` (logging, seeding,
checkpoints; validation off, as the loop has none) against a plain PyTorch loop of the same arithmetic. The attacks run
on the network that `fit` has trained, on the test pictures. torchattacks 3.5.1 cannot be installed beside a current
`requests`; unpack its wheel and name the folder (it needs nothing but torch for PGD). --fashion also measures the
training step on 28x28 pictures, of a folder with fashion_mnist/.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch.nn import functional as F

from datamodules.robust.base import RobustDataModule
from datamodules.robust.digits import Digits
from datamodules.robust.fashion_mnist import FashionMNIST
from lit_unlearn import checkpoint, fit as program, run_directory
from lit_unlearn.attacks.autoattack import autoattack
from lit_unlearn.attacks.ball import Ball
from lit_unlearn.attacks.gradient import cross_entropy, pgd, pgd_on_standing
from lit_unlearn.networks.classifier import Classifier

EPOCHS, ROUNDS, EPS, FEW = 6, 3, 0.2, 1280


class EpochTimes(Callback):
    """CPU seconds from the start of an epoch to the start of the next."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.starts.append(time.process_time())

    def seconds(self) -> list[float]:
        return [after - before for before, after in zip(self.starts[1:], self.starts[2:], strict=False)]


def through_fit(folder: Path, epochs: int, *changed: str) -> list[float]:
    """Seconds of each epoch but the first and the last; leaves the run in the folder."""
    times = EpochTimes()
    run_directory.progress = lambda: times  # in the place of the progress lines
    with contextlib.redirect_stdout(io.StringIO()):
        lines = [f"run_dir={folder}", "evaluate=false", f"trainer.max_epochs={epochs}", "callbacks.best=null"]
        lines += ["trainer.limit_val_batches=0", "model.attack_steps=10", *changed]
        if not any(line.startswith("experiment=") for line in lines):
            lines.append("experiment=pgd_at/digits")
        program.fit(lines)
    return times.seconds()


def bare_loop(data: RobustDataModule, network: Any, epochs: int, eps: float, step: float) -> list[float]:
    """Seconds of each epoch of a plain loop: the same network, pictures, attack and optimiser."""
    torch.use_deterministic_algorithms(False)  # as a plain loop has it; `fit` had set it
    net = Classifier(network, data.input_shape, 10, data.mean, data.std)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
    assert data.train is not None
    pictures, labels = data.train.all()
    seconds = []
    for _ in range(epochs):
        start = time.process_time()
        for rows in torch.randperm(len(labels)).tensor_split(-(-len(labels) // 128)):
            x, y = pictures[rows], labels[rows]
            attacked = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
            net.eval()
            for _ in range(10):
                attacked.requires_grad_()
                gradient = torch.autograd.grad(F.cross_entropy(net(attacked), y), attacked)[0]
                attacked = attacked.detach() + step * gradient.sign()
                attacked = (x + (attacked - x).clamp(-eps, eps)).clamp(0, 1).detach()
            net.train()
            loss = F.cross_entropy(net(attacked), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        seconds.append(time.process_time() - start)
    return seconds


def timed(call: Any) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def report(name: str, ours: list[float], theirs: list[float], target: float) -> None:
    ratio = statistics.median(ours) / statistics.median(theirs)
    verdict = "reached" if ratio <= target else "MISSED"
    medians = f"{statistics.median(ours):.3f} s against {statistics.median(theirs):.3f} s"
    print(f"{name}: {ratio:.3f} (at most {target}: {verdict}); {medians}", flush=True)


def training(folder: Path, data: RobustDataModule, network: str, fashion: str | None = None) -> None:
    ours, theirs, epochs = [], [], 3 if fashion else EPOCHS
    changed = [f"model.network={network}"]
    if fashion:
        changed += ["experiment=pgd_at/fashion_mnist_reduced", f"data_root={fashion}", f"data.num_train={FEW}"]
    for number in range(2 if fashion else ROUNDS):
        ours += through_fit(folder / f"{network}{fashion is not None}{number}", epochs + 2, *changed)
        theirs += bare_loop(data, network, epochs, *((0.1, 0.04) if fashion else (EPS, 0.08)))
    pictures = "28x28" if fashion else "8x8"
    report(f"epoch of PGD-10 training of {network} on {pictures} pictures, fit / plain loop", ours, theirs, 1.05)


def autoattacks(net: Classifier, x: torch.Tensor, y: torch.Tensor) -> None:
    from pyautoattack import AutoAttack

    ours, theirs = [], []
    for _ in range(2):
        seconds, verdict = timed(lambda: autoattack(net, x, y, Ball("linf", EPS)))
        ours.append(seconds)
        library = AutoAttack(net, norm="Linf", eps=EPS, seed=0, version="standard")
        seconds, (broken, _) = timed(partial(library.run_standard_evaluation, x, y))
        theirs.append(seconds)
        same = (verdict.standing == (net(broken).argmax(1) == y)).sum().item()
    print(f"AutoAttack: {same} of {len(y)} verdicts are the same, {verdict.standing.float().mean():.1%} stand")
    report("AutoAttack, through the wrapper / the library", ours, theirs, 1.0)


def pgd20(net: Classifier, x: torch.Tensor, y: torch.Tensor, folder: str) -> None:
    sys.path.insert(0, folder)
    import torchattacks

    attack = torchattacks.PGD(net, eps=EPS, alpha=EPS / 8, steps=20)
    times: dict[str, list[float]] = {"whole": [], "standing": [], "theirs": []}
    loss = partial(cross_entropy, y=y)
    for _ in range(5):
        torch.manual_seed(0)
        seconds, theirs = timed(lambda: attack(x, y))
        times["theirs"].append(seconds)
        torch.manual_seed(0)
        seconds, whole = timed(lambda: pgd(net, x, loss, Ball("linf", EPS), EPS / 8, 20))
        times["whole"].append(seconds)
        torch.manual_seed(0)
        seconds, left = timed(lambda: pgd_on_standing(net, x, y, Ball("linf", EPS), EPS / 8, 20))
        times["standing"].append(seconds)
    verdicts = [net(found).argmax(1) == y for found in (theirs, whole)]
    print(
        f"PGD-20, right after it: torchattacks {verdicts[0].float().mean():.4f}, ours {verdicts[1].float().mean():.4f} "
        f"({(verdicts[0] == verdicts[1]).sum()} of {len(y)} verdicts the same), leaving broken pictures alone "
        f"{left.standing.float().mean():.4f}"
    )
    report("PGD-20 as an evaluation, ours / torchattacks", times["standing"], times["theirs"], 0.8)
    report("PGD-20 in training, every picture to the end, ours / torchattacks", times["whole"], times["theirs"], 1.0)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    data = Digits()
    data.setup()
    x, y = data.test.all()
    with tempfile.TemporaryDirectory() as folder:
        for network in ("small_conv", "wide_conv"):
            training(Path(folder), data, network)
        if "--fashion" in given:
            clothes = FashionMNIST(data_root=given["--fashion"], num_train=FEW)
            clothes.setup()
            training(Path(folder), clothes, "small_conv", given["--fashion"])
        through_fit(Path(folder) / "trained", 20)
        method: Any = checkpoint.load_method(Path(folder) / "trained" / "last.ckpt")[0]
    net = method.judged.eval()
    if "--torchattacks" in given:
        pgd20(net, x, y, given["--torchattacks"])
    autoattacks(net, x[:200], y[:200])


if __name__ == "__main__":
    main(sys.argv[1:])
