"""One epoch of PUSVDD on Fashion-MNIST: through `fit`, in a bare loop, and in a bare loop fed item by item.

A fourth, Lightning's Trainer with nothing in it (`barebones`, no determinism), shows how much of `fit` is the Trainer.

    python benchmarks/epoch_time.py data_root=DIR

Prints ratios of the medians of epochs measured in turn (A B C D A B C D ...) in one process on two threads. All do
the same steps: same network, loss, optimiser (Adam, fused), batch sizes. `fit` also logs, counts, seeds its steps and
writes checkpoints; validation is off in it because the loops have none. The item-by-item loop reads as the public code
of Deep SVDD does, through a Dataset and a DataLoader without workers (with workers on two cores they compete with the
training threads).
"""

import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from datamodules.anomaly.batches import PUBatch
from lit_unlearn import config as configuration, fit as program, nodes, run_directory
from lit_unlearn.losses.pu import positive_inverse, pu_risk
from lit_unlearn.methods.anomaly.pu_svdd import PUSVDD

EPOCHS, ROUNDS = 8, 4


class EpochTimes(Callback):
    """Seconds from the start of an epoch to the start of the next."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.starts.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [after - before for before, after in zip(self.starts[1:], self.starts[2:], strict=False)]


def through_fit(overrides: list[str]) -> list[float]:
    """Seconds of each epoch but the first and the last of a run of `fit`."""
    times = EpochTimes()
    run_directory.progress = lambda: times  # in the place of the progress lines
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        off = ["callbacks.best=null", "callbacks.early_stopping=null", "trainer.limit_val_batches=0", "evaluate=false"]
        program.fit(
            [
                "experiment=pu_svdd/fashion_mnist",
                f"run_dir={folder}/run",
                f"trainer.max_epochs={EPOCHS + 2}",
                *off,
                *overrides,
            ]
        )
    return times.seconds()


def bare_loop(method: LightningModule, batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> list[float]:
    """Seconds of each epoch of a plain PyTorch loop."""
    optimiser = torch.optim.Adam(method.parameters(), lr=3e-4, weight_decay=1e-3, fused=True)
    method.train()
    torch.use_deterministic_algorithms(False)  # as a plain loop has it; `fit` had set it
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for unlabeled, labelled in batches():
            distance = method.loss(torch.cat([unlabeled, labelled]))
            d_u, d_a = distance[: len(unlabeled)], distance[len(unlabeled) :]
            loss = pu_risk(positive_inverse(d_a).mean(), d_u.mean(), d_a.mean(), 250 / 4750)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        seconds.append(time.perf_counter() - start)
    return seconds


class Batches(IterableDataset):
    """Ready batches, for Lightning's Trainer."""

    def __init__(self, batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]):
        self.batches = batches

    def __iter__(self) -> Iterator[PUBatch]:
        return (PUBatch(unlabeled, labelled) for unlabeled, labelled in self.batches())


class Bare(PUSVDD):
    """PUSVDD that logs nothing: `barebones` allows no logging."""

    def log_sometimes(self, values: dict[str, Tensor], prog_bar: bool = False) -> None:
        pass


def lightning_alone(method: LightningModule, batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> list[float]:
    """Seconds of each epoch but the first and the last through a Trainer without callbacks, logger or checkpoints."""
    starts: list[float] = []
    method.on_train_epoch_start = lambda: starts.append(time.perf_counter())
    method.on_train_start = lambda: None  # its centre is set
    trainer = Trainer(accelerator="cpu", max_epochs=EPOCHS + 2, barebones=True)
    trainer.fit(method, DataLoader(Batches(batches), batch_size=None))
    return [after - before for before, after in itertools.pairwise(starts[1:])]


class OneByOne(Dataset):
    """Pictures decoded at each access as the public code of Deep SVDD and Deep SAD does it on MNIST.

    Each item goes from an array to a PIL image, to a float tensor, through global contrast normalisation (L1) and a
    min-max scaling, and comes with its label and its row.
    """

    def __init__(self, pictures: Tensor):
        self.pictures = (pictures[:, 0] * 255).round().to(torch.uint8)
        self.least, self.range = -0.8826567065619495, 9.001545489292527  # of one class of MNIST, in their code

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        image = Image.fromarray(self.pictures[index].numpy())
        x = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(image.size[1], image.size[0], 1)
        x = x.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        x = x - x.mean()
        x = x / x.abs().mean()
        least, spread = torch.as_tensor([self.least]), torch.as_tensor([self.range])
        return x.clone().sub_(least.view(-1, 1, 1)).div_(spread.view(-1, 1, 1)), 0, index


def main(overrides: list[str]) -> None:
    torch.set_num_threads(2)
    config = configuration.compose(["experiment=pu_svdd/fashion_mnist", *overrides])
    data = nodes.build(config["data"])
    data.setup()
    shape = {"input_shape": data.input_shape}
    method = nodes.build(config["method"] | shape)
    method.loss.set_centre(data.unlabeled)

    def in_memory() -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(data.unlabeled)).tensor_split(-(-len(data.unlabeled) // data.batch_size))
        for chosen in order:
            drawn = torch.randint(len(data.labelled), (data.labelled_batch_size,))
            yield data.unlabeled[chosen], data.labelled[drawn]

    unlabeled_loader = DataLoader(OneByOne(data.unlabeled), batch_size=data.batch_size, shuffle=True)
    labelled_loader = DataLoader(OneByOne(data.labelled), batch_size=data.labelled_batch_size, shuffle=True)

    def item_by_item() -> Iterator[tuple[Tensor, Tensor]]:
        labelled = iter(labelled_loader)
        for unlabeled, _, _ in unlabeled_loader:
            try:
                anomalies, _, _ = next(labelled)
            except StopIteration:
                labelled = iter(labelled_loader)
                anomalies, _, _ = next(labelled)
            yield unlabeled, anomalies

    bare = Bare(**{name: value for name, value in config["method"].items() if name != "_target_"}, **shape)
    bare.loss.set_centre(data.unlabeled)
    times: dict[str, list[float]] = {"fit": [], "Lightning": [], "bare loop": [], "item by item": []}
    for round_number in range(ROUNDS):
        measured = {"fit": through_fit(overrides), "Lightning": lightning_alone(bare, in_memory)}
        measured["bare loop"] = bare_loop(method, in_memory)
        measured["item by item"] = bare_loop(method, item_by_item)
        if round_number > 0:  # the first warms up
            for name, seconds in measured.items():
                times[name] += seconds
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"{name:13} {medians[name]:.3f} s an epoch ({min(seconds):.3f} to {max(seconds):.3f}, n {len(seconds)})")
    print(f"fit / bare loop    {medians['fit'] / medians['bare loop']:.3f}  (wanted: at most 1.10)")
    print(f"Lightning / bare loop {medians['Lightning'] / medians['bare loop']:.3f}")
    print(f"fit / item by item {medians['fit'] / medians['item by item']:.3f}  (wanted: at most 0.50)")


if __name__ == "__main__":
    main(sys.argv[1:])
