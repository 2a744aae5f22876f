"""Selective Amnesia: the class is overwritten with noise, elastic weights and rehearsal keep the rest.

Heng, Soh, "Selective Amnesia: A Continual Learning Approach to Forgetting in Deep Generative Models", NeurIPS 2023.

Idea: forgetting as continual learning. The model learns to draw pictures of uniform noise for the class, rehearses what
it drew of the other classes, and pays for leaving weights that mattered (diagonal Fisher information).

Equations implemented: L_DM(uniform noise, c) + gamma L_DM(own samples, other classes) + (3) of
`lit_unlearn.losses.class_forgetting` times lambda. F: mean squared gradient of single samples' denoising losses.

Deviations: F from `fisher_samples` own samples at one random timestep each (the authors: all 1000 timesteps). Of a
text-to-image pipeline the latents are noise, where the authors have pictures of another prompt.

Command: python -m lit_unlearn.fit experiment=esd/digits method=selective_amnesia
Expect: docs/diffusion.md.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.class_forgetting import elastic_penalty
from lit_unlearn.losses.denoising import noised, squared_error, target
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.unlearner import Unlearner, generator_of


class SelectiveAmnesia(Unlearner):
    """Overwritten with noise.

    Args:
        elasticity: lambda.
        rehearsal: gamma.
        fisher_samples: own samples for the Fisher information.
        rehearsed: own samples of the other classes to rehearse.
        others: see `Unlearner`.
    """

    def __init__(
        self,
        elasticity: Annotated[float, Field(ge=0)] = 10.0,
        rehearsal: Annotated[float, Field(ge=0)] = 1.0,
        fisher_samples: Annotated[int, Field(ge=1)] = 200,
        rehearsed: Annotated[int, Field(ge=1)] = 500,
        **others,
    ):
        super().__init__(**others)
        self.elasticity, self.rehearsal = elasticity, rehearsal
        self.fisher_samples, self.rehearsed = fisher_samples, rehearsed
        self._own: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
        self._fisher: list[Tensor] = []

    def on_train_start(self) -> None:
        super().on_train_start()
        generator = generator_of(self)
        stay = torch.tensor([n for n in range(self.num_classes) if n not in self.sensitive_classes])
        count = max(self.fisher_samples, self.rehearsed)
        y = stay[torch.arange(count) % len(stay)].to(self.device)
        start = torch.randn(count, *self.input_shape, generator=generator).to(next(self.untouched.parameters()))
        self._own = self.generate(start, y, self.untouched), y
        self._fisher = self.fisher(generator)

    @torch.enable_grad()
    def fisher(self, generator: torch.Generator) -> list[Tensor]:
        """Mean squared gradients of the untouched model, one tensor for each of its weights."""
        network = self.untouched.requires_grad_(True)
        weights = list(self.trained_weights(network).values())
        sums = [torch.zeros_like(weight) for weight in weights]
        x, y = (part[: self.fisher_samples] for part in self._own)
        t = torch.randint(self.num_timesteps, (len(x),), generator=generator).to(self.device)
        noise = torch.randn(x.shape, generator=generator).to(x)
        for i in range(len(x)):
            one = slice(i, i + 1)
            a = self.alphas_bar[t[one]]
            said = self.predict(noised(x[one], noise[one], a), t[one], y[one], network)
            loss = squared_error(said, target(x[one], noise[one], a, self.noise.prediction), "sum").sum()
            found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
            for total, gradient in zip(sums, found, strict=True):
                total += gradient.square() / len(x)
        network.requires_grad_(False)
        return sums

    def objective(self, batch: DiffusionBatch) -> Tensor:
        noise_pictures = torch.rand_like(batch.labelled) * 2 - 1
        rows = torch.randint(self.rehearsed, (len(batch.unlabeled),), device=self.device)
        own, classes = self._own[0][rows], self._own[1][rows]
        x, y = torch.cat([noise_pictures, own]), torch.cat([self.asked(len(noise_pictures)), classes])
        losses = self.denoise(x, y).losses.mean(0)
        forget, kept = batch_mean(losses[: len(noise_pictures)]), batch_mean(losses[len(noise_pictures) :])
        weights, anchors = (list(self.trained_weights(of).values()) for of in (self.network, self.untouched))
        penalty = elastic_penalty(weights, anchors, self._fisher)
        self.log_sometimes({"train/forget_loss": forget, "train/rehearsal": kept, "train/penalty": penalty})
        return forget + self.rehearsal * kept + self.elasticity * penalty
