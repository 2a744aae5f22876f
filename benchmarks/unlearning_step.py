"""Seconds of a step: SAE-guided unlearning against NPO, and NPO with a cached against one with a resident reference.

    python benchmarks/unlearning_step.py [model.path=FOLDER model.sae=FOLDER model.layer=2 data.batch_size=32 ...]

Prints ratios of steps measured in turn (A B C A B C ...) in one process, each the median of the rounds' ratios with the
smallest and the largest. All take the same batches through the same model on the same threads (OMP_NUM_THREADS says
how many); methods and data are built from the configuration as `fit` does, by default the embedded problem. A step is
the loss of a batch, its gradient and AdamW's step, without a Trainer: what a run adds to each (logging, seeding, the
loader) is the same for all.

The forget branches are compared first, without retain terms: that is where the methods differ, and what is wanted of
them. Then with the retain terms that the methods' files and `method/tuned` give them, which need not be the same.
"""

import statistics
import sys
import time
from types import SimpleNamespace
from typing import Any

import torch
from lightning import seed_everything

from lit_unlearn import config as configuration, nodes

PROBLEM, ROUNDS, STEPS = "experiment=sae_unlearning/biographies", 8, 6
METHODS = {
    "SAE": ["method=sae_unlearning"],
    "NPO, cached": ["method=npo"],
    "NPO, resident": ["method=npo", "method.reference=resident"],
}
RATIOS = (("SAE", "NPO, cached", 0.6), ("NPO, cached", "NPO, resident", 0.75))


class Steps:
    """A method that can be stepped by hand.

    Args:
        overrides: of the command line.
        retain: keep its retain terms.
    """

    def __init__(self, overrides: list[str], retain: bool, data: Any, device: torch.device):
        node = configuration.compose([PROBLEM, *overrides])["method"]
        node |= {} if retain else {"retain": None}
        seed_everything(0, verbose=False)
        self.method = nodes.build(node)
        # What a method asks its Trainer for before and during a step; it logs at no step.
        self.method.trainer = SimpleNamespace(
            datamodule=data,
            strategy=SimpleNamespace(root_device=device),
            log_every_n_steps=sys.maxsize,
            global_step=0,
        )
        self.method.to(device)
        self.method.setup("fit")
        weights = [weight for weight in self.method.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(weights, lr=1e-5, fused=True)

    def seconds(self, batches: list[Any]) -> float:
        """Of one step, the mean over the batches."""
        _wait()
        start = time.perf_counter()
        for number, batch in enumerate(batches):
            self.optimiser.zero_grad()
            self.method.training_step(batch, number).backward()
            self.optimiser.step()
        _wait()
        return (time.perf_counter() - start) / len(batches)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compared(overrides: list[str], retain: bool, data: Any, device: torch.device) -> None:
    """Measures all methods in turn and prints times and ratios."""
    steps = {name: Steps([*chosen, *overrides], retain, data, device) for name, chosen in METHODS.items()}
    batches = []
    for batch in data.train_dataloader():
        batches.append(type(batch)(*(type(part)(*(x.to(device) for x in part)) for part in batch)))
        if len(batches) == STEPS:
            break
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(ROUNDS + 1):
        for name, method in steps.items():
            seconds = method.seconds(batches)
            if round_number > 0:  # the first warms up
                times[name].append(seconds)
    print("with retain terms" if retain else "without retain terms")
    for name, measured in times.items():
        low, middle, high = (1000 * f(measured) for f in (min, statistics.median, max))
        print(f"  {name:14} {middle:8.2f} ms a step ({low:.2f} to {high:.2f}, n {len(measured)} x {len(batches)})")
    for above, below, wanted in RATIOS:
        ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
        limit = "" if retain else f"; wanted: at most {wanted}"
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}{limit}"
        print(f"  {above} / {below}: {statistics.median(ratios):.3f} ({spread})")


def main(overrides: list[str]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = nodes.build(configuration.compose([PROBLEM, *overrides])["data"])
    data.setup("fit")
    print(f"{data.batch_size} items to forget and {data.retain_batch_size} to retain a step, on {device}")
    for retain in (False, True):
        compared(overrides, retain, data, device)


if __name__ == "__main__":
    main(sys.argv[1:])
