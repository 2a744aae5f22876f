"""Seconds of a training step and of sampling: `fit` against diffusers' own example loop, same network, same batch.

    python benchmarks/diffusion_step.py

The peer is the loop of diffusers' unconditional example: U-Net, `scheduler.add_noise`, mean squared error, gradient
clipping, AdamW, a learning-rate schedule, `EMAModel`. Both are measured in one process in turns; the ratio of the
medians of the turns is printed, with the shares of the machine that other work took left in.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch.nn import functional as F

STEPS, ROUNDS, BATCH = 25, 5, 64


class Clock(Callback):
    """Times the steps of a fit, without its start and its end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self._from = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == STEPS - 1:
            self.seconds.append((time.perf_counter() - self._from) / STEPS)


def ours(unet: dict[str, Any], clock: Clock) -> None:
    """An epoch of STEPS steps of method=unsupervised_diffusion, as `fit` has it."""
    from lit_unlearn import config as configuration, nodes, run_directory

    with tempfile.TemporaryDirectory() as folder:
        config = configuration.compose(
            ["experiment=unsupervised_diffusion/digits", f"run_dir={folder}/run", "callbacks.samples=null"]
        )
        config["model"] = config["method"]["model"] = {"path": None, "unet": unet}
        config["trainer"] |= {"max_epochs": 1, "limit_train_batches": STEPS}
        data = nodes.build(config["data"] | {"batch_size": BATCH, "num_normal": None})
        data.setup()
        data.unlabeled = type(data.unlabeled)(data.unlabeled.x.repeat(4, 1, 1, 1), data.unlabeled.y.repeat(4))
        config["method"] |= {name: getattr(data, name) for name in data.offers}
        method = nodes.build(config["method"])
        callbacks = [nodes.build(node) for node in config["callbacks"].values() if node is not None]
        run_directory.prepare(config, None)
        run_directory.trainer(config, [clock, *callbacks], None).fit(method, datamodule=data)


def example_loop(unet: dict[str, Any], pictures: torch.Tensor) -> float:
    """Seconds of a step of diffusers' example loop."""
    import diffusers
    from diffusers.training_utils import EMAModel

    from lit_unlearn.networks.denoiser import new_unet

    network: Any = new_unet(unet, [1, 8, 8], 10)[0]  # type: ignore[arg-type]
    average = EMAModel(network.parameters(), decay=0.995, use_ema_warmup=True)
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, prediction_type="sample")
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    loader = torch.utils.data.DataLoader(pictures.repeat(4, 1, 1, 1), batch_size=BATCH, shuffle=True, drop_last=True)
    start = time.perf_counter()
    for clean in [batch for _, batch in zip(range(STEPS), loader, strict=False)]:
        noise = torch.randn_like(clean)
        t = torch.randint(1000, (len(clean),))
        loss = F.mse_loss(network(scheduler.add_noise(clean, noise, t), t).sample, clean)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        optimiser.zero_grad()
        average.step(network.parameters())
        loss.item()
    return (time.perf_counter() - start) / STEPS


def sampling(unet: dict[str, Any]) -> dict[str, float]:
    """Milliseconds a picture of 500 drawn together, by sampler and steps."""
    from lit_unlearn.networks.denoiser import new_unet
    from lit_unlearn.networks.sampling import draw

    network, noise = new_unet(unet, [1, 8, 8], 10)  # type: ignore[arg-type]
    found, start = {}, torch.randn(500, 1, 8, 8)
    for sampler, steps in (("ddim", 50), ("dpm_solver", 20)):
        since = time.perf_counter()
        draw(lambda x, t: network.eval()(x, t).sample, start, noise, sampler, steps)  # type: ignore[arg-type]
        found[f"{sampler} {steps}"] = 1000 * (time.perf_counter() - since) / len(start)
    return found


def main() -> None:
    from datamodules.diffusion.digits import Digits
    from lit_unlearn import config as configuration

    torch.set_num_threads(1)
    unet = configuration.compose(["experiment=unsupervised_diffusion/digits"])["model"]["unet"]
    data = Digits(sensitive=[1, 3, 5, 7, 9])
    data.setup()
    clock, peer = Clock(), []
    for _ in range(ROUNDS):
        ours(unet, clock)
        peer.append(example_loop(unet, data.unlabeled.x))
    mine, other = statistics.median(clock.seconds), statistics.median(peer)
    print(f"a step of {BATCH} pictures, medians of {ROUNDS} turns of {STEPS} steps, one thread:")
    print(f"fit {1000 * mine:.1f} ms, diffusers' example loop {1000 * other:.1f} ms, ratio {mine / other:.2f}")
    for name, milliseconds in sampling(unet).items():
        print(f"sampling, {name} steps: {milliseconds:.2f} ms a picture")
    results = Path(__file__).parent / "results" / "diffusion_step.csv"
    lines = ["round,fit_ms,example_loop_ms"]
    lines += [f"{i},{1000 * a:.3f},{1000 * b:.3f}" for i, (a, b) in enumerate(zip(clock.seconds, peer, strict=True))]
    results.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
