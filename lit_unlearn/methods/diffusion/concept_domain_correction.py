"""Concept domain correction (DoCo): an adversary makes pictures of the class indistinguishable from those of another.

Wu et al., "Unlearning Concepts in Diffusion Model via Concept Domain Correction and Concept Preserving Gradient", AAAI
2025 (arXiv 2405.15304).

Idea: a discriminator tells one-step pictures of the trained model, asked for the class to forget, from those of the
untouched model, asked for an anchor class. The trained model learns to fool it; a denoising loss on what is retained
(the prior) keeps the rest, and the part of the first gradient that points against the second is taken out.

Equations implemented: D: BCE(D(real), 0) + BCE(D(fake), 1); network: BCE(D(fake), 0) + prior; (4) of
`lit_unlearn.losses.class_forgetting`, tensor by tensor, the prior's gradient kept.

Reconstructed: from the paper's outline; the authors' code has no licence and was not opened. Network and discriminator
step together; the discriminator is a small convolutional one on whole pictures; with several processes the gradients
are corrected on each and averaged afterwards.

Command: python -m lit_unlearn.fit experiment=esd/digits method=concept_domain_correction
Expect: docs/diffusion.md.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.class_forgetting import without_conflict
from lit_unlearn.losses.denoising import clean, noised
from lit_unlearn.methods.diffusion.unlearner import Unlearner
from lit_unlearn.methods.schedule import num_steps, warm_up_and_cosine


class ConceptDomainCorrection(Unlearner):
    """Corrected by an adversary.

    Args:
        anchor: the class whose pictures the class to forget shall be like.
        prior_weight: of the denoising loss on what is retained.
        discriminator_rate: learning rate of the discriminator.
        alone: share of the steps at the beginning in which the discriminator learns alone.
        others: see `Unlearner`.
    """

    def __init__(
        self,
        anchor: Annotated[int, Field(ge=0)] = 0,
        prior_weight: Annotated[float, Field(ge=0)] = 1.0,
        discriminator_rate: Annotated[float, Field(gt=0)] = 5e-4,
        alone: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        **others,
    ):
        super().__init__(**others)
        self.anchor, self.prior_weight = anchor, prior_weight
        self.discriminator_rate, self.alone = discriminator_rate, alone
        channels = self.input_shape[0]
        self.discriminator = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            *(nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 3, stride=2, padding=1)),
            *(nn.LeakyReLU(0.2), nn.Conv2d(64, 1, 3, padding=1)),
        )

    def clean(self, x: Tensor, t: Tensor, classes: Tensor, network: nn.Module | None = None) -> Tensor:
        """(B, C, H, W) the picture that a network sees behind noised ones, in one step."""
        return clean(self.predict(x, t, classes, network), x, self.alphas_bar[t], self.noise.prediction)

    def objective(self, batch: DiffusionBatch) -> Tensor:
        """() a sum whose gradient is the corrected one: weights times fixed gradients."""
        x = torch.cat([batch.labelled, batch.labelled])
        t, noise = self.noise_like(x)
        xt = noised(x, noise, self.alphas_bar[t])
        half = len(batch.labelled)
        with torch.no_grad():
            anchors = torch.full((half,), self.anchor, device=self.device)
            real = self.clean(xt[half:], t[half:], anchors, self.untouched)
        fake = self.clean(xt[:half], t[:half], batch.labelled_class)
        told_apart = _bce(self.discriminator(real), 0) + _bce(self.discriminator(fake.detach()), 1)
        fooled = _bce(self.discriminator(fake), 0)
        prior = self.prior_weight * self.denoise(*self.retained(batch)).losses.mean()
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        judging = list(self.discriminator.parameters())
        pairs = zip(_gradients(fooled, weights), _gradients(prior, weights), strict=True)
        corrected = [without_conflict(forget, kept) + kept for forget, kept in pairs]
        if self.global_step < self.alone * num_steps(self.trainer):
            corrected = [torch.zeros_like(gradient) for gradient in corrected]
        gradients = [*_gradients(told_apart, judging), *corrected]
        self.log_sometimes({"train/told_apart": told_apart, "train/fooled": fooled, "train/prior": prior})
        return torch.stack(
            [(weight * gradient).sum() for weight, gradient in zip([*judging, *weights], gradients, strict=True)]
        ).sum()

    def configure_optimizers(self) -> Any:
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        groups = [
            {"params": trained, "lr": self.learning_rate},
            {"params": list(self.discriminator.parameters()), "lr": self.discriminator_rate},
        ]
        return warm_up_and_cosine(torch.optim.Adam(groups), self.trainer, self.warm_up)


def _bce(logits: Tensor, label: int) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _gradients(loss: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
    return [gradient.detach() for gradient in found]
