"""SFD: a one-step generator is distilled from the model; for the class to forget, from what it knows of another.

Chen, Zhang, Zhou, "Score Forgetting Distillation: A Swift, Data-Free Method for Machine Unlearning in Diffusion
Models", ICLR 2025.

Idea: a generator draws pictures in one step, and a second network, the fake score, learns to denoise them. Where the
fake score and the untouched model (the teacher) see different pictures behind the same noise, the generator draws
otherwise than the teacher would, and is moved. For the class to forget the teacher is asked for another class. No data
are needed, and none are looked at: batches set the numbers of pictures alone.

Equations implemented, with D the clean picture that a network sees, (5) of `lit_unlearn.losses.denoising`, e normal
noise, c a class that stays or, with weight `forget_weight`, one to forget; t uniform between two bounds:

    generator   x = g(e, c) = D_g(e, t_start, c)
    fake score  (3) of `lit_unlearn.losses.denoising` of x, told c
    generator   (5) of `lit_unlearn.losses.class_forgetting`, p = D_teacher(x_t, t, c'), q = D_fake(x_t, t, c);
                c' = c where c stays, else the next class that does

Deviations: both networks step together, with one Adam (the authors: in turn); means over pixels in the place of sums;
timesteps as shares of T (the authors' 440, 38 and 712 of 1000); the generator's start is the normal noise itself.
What comes out is no diffusion model: it draws in one step, for a class it is told, without guidance. Attacks use it as
what it began as, a denoiser: an optimised embedding is sought with the denoising loss at all timesteps, a copy that
learns again does so by that loss, and both are drawn from in one step. denoising/loss of the report is its loss in the
same role, which it was not trained for.

Command: python -m lit_unlearn.fit experiment=esd/digits method=sfd
Expect: docs/diffusion.md.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.class_forgetting import score_distillation
from lit_unlearn.losses.denoising import clean, noised, squared_error, stratified_timesteps, target
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.unlearner import Unlearner
from lit_unlearn.methods.schedule import warm_up_and_cosine
from lit_unlearn.networks.one_step import drawn_at, mark, save_one_step_pipeline
from lit_unlearn.networks.sampling import Denoiser

Share = Annotated[float, Field(ge=0, le=1)]


class SFD(Unlearner):
    """Distilled to one step, without the class.

    Args:
        alpha: see (5) of `lit_unlearn.losses.class_forgetting`.
        forget_weight: of the pictures of the class to forget in the generator's loss.
        fake_forget_weight: the same in the fake score's.
        start_at: t_start, as a share of all timesteps.
        lowest, highest: bounds of t, likewise.
        fake_rate: learning rate of the fake score.
        others: see `Unlearner`; sampler and guidance are the teacher's.

    Raises:
        UserError: lowest is not below highest.
    """

    takes_prompts: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = (
        "the result draws in one step, the model before in many; attacks and denoising/loss use it as the denoiser "
        "that it began as, which it was not trained to stay",
    )

    def __init__(
        self,
        alpha: Annotated[float, Field(ge=0)] = 1.2,
        forget_weight: Annotated[float, Field(ge=0)] = 0.01,
        fake_forget_weight: Annotated[float, Field(ge=0)] = 0.01,
        start_at: Annotated[float, Field(gt=0, lt=1)] = 0.44,
        lowest: Share = 0.038,
        highest: Share = 0.712,
        fake_rate: Annotated[float, Field(gt=0)] = 1e-4,
        **others,
    ):
        super().__init__(**others)
        low, high = (int(share * self.num_timesteps) for share in (lowest, highest))
        if low >= high:
            raise UserError(f"method.lowest={lowest} and method.highest={highest}: give a lowest below the highest")
        self.alpha, self.forget_weight, self.fake_forget_weight = alpha, forget_weight, fake_forget_weight
        self.bounds, self.fake_rate = (low, high), fake_rate
        self.fake = copy.deepcopy(self.network)
        mark(self.network, int(start_at * self.num_timesteps))

    def clean(self, x: Tensor, t: Tensor, classes: Tensor, network: Any) -> Tensor:
        """(B, C, H, W) the pictures that a network sees behind noised ones."""
        return clean(self.predict(x, t, classes, network), x, self.alphas_bar[t], self.noise.prediction)

    def generated(self, start: Tensor, classes: Tensor) -> Tensor:
        """(B, C, H, W) g(start, classes), with gradients."""
        t = torch.full((len(start),), drawn_at(self.network) or 0, device=start.device)
        return self.clean(start, t, classes, self.network)

    def noise_like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps within the bounds, and noise."""
        low, high = self.bounds
        return low + stratified_timesteps(len(x), high - low, x.device), torch.randn_like(x)

    def objective(self, batch: DiffusionBatch) -> Tensor:
        """() the sum of the two losses, each of which has gradients in one network alone."""
        kept, forgotten = len(batch.unlabeled), len(batch.labelled)
        staying = torch.tensor(self.staying, device=self.device)
        stays = staying[torch.randint(len(staying), (kept,), device=self.device)]
        classes = torch.cat([stays, self.asked(forgotten)])
        like = next(self.network.parameters())
        start = torch.randn(len(classes), *self.input_shape, device=like.device, dtype=like.dtype)
        x = self.generated(start, classes)
        denoising, distillation = self.fake_losses(x.detach(), classes), self.generator_losses(x, classes)
        fake, generator = (
            batch_mean(losses[:kept]) + weight * batch_mean(losses[kept:])
            for losses, weight in ((denoising, self.fake_forget_weight), (distillation, self.forget_weight))
        )
        self.log_sometimes({"train/fake_loss": fake, "train/generator_loss": generator})
        return fake + generator

    def fake_losses(self, x: Tensor, classes: Tensor) -> Tensor:
        """(B,) denoising losses of the fake score on what was generated."""
        t, noise = self.noise_like(x)
        a = self.alphas_bar[t]
        said = self.predict(noised(x, noise, a), t, classes, self.fake)
        return squared_error(said, target(x, noise, a, self.noise.prediction))

    def generator_losses(self, x: Tensor, classes: Tensor) -> Tensor:
        """(B,) distillation losses of what was generated, with gradients in it alone."""
        t, noise = self.noise_like(x)
        xt = noised(x, noise, self.alphas_bar[t])
        teacher = self.clean(xt, t, self.other_if_forgotten(classes), self.untouched)
        return score_distillation(teacher, self.clean(xt, t, classes, _frozen(self.fake)), x, self.alpha)

    def other_if_forgotten(self, classes: Tensor) -> Tensor:
        """(B,) what the teacher is asked for."""
        forgotten = torch.isin(classes, torch.tensor(self.sensitive_classes, device=classes.device))
        return torch.where(forgotten, self.other(classes), classes)

    def from_noise(self, said: Denoiser, start: Tensor, network: nn.Module) -> Tensor:
        """In one step, but for the untouched model."""
        at = drawn_at(network)
        if at is None:
            return super().from_noise(said, start, network)
        t = torch.full((len(start),), at, device=start.device)
        return clean(said(start, t), start, self.alphas_bar[t], self.noise.prediction)

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": list(self.network.parameters()), "lr": self.learning_rate},
            {"params": list(self.fake.parameters()), "lr": self.fake_rate},
        ]
        return warm_up_and_cosine(torch.optim.Adam(groups, betas=(0.0, 0.999), fused=True), self.trainer, self.warm_up)

    def export(self, folder: Path, data: LightningDataModule) -> None:
        """Writes the generator, see `lit_unlearn.networks.one_step.save_one_step_pipeline`."""
        save_one_step_pipeline(folder, self.sampled_network, self.noise)


def _frozen(network: nn.Module) -> Callable[..., Any]:
    """The network without gradients in its weights."""
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    return lambda *given, **told: functional_call(network, weights, given, told)
