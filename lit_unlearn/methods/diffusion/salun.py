"""SalUn: the class is relabelled, and only the weights that matter to it may change.

Fan, Liu, Zhang, Wong, Wei, Liu, "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency", ICLR 2024.

Idea: asked for the class to forget, the model is to say what it says for another class; a mask lets only the weights
change whose gradient of the forgetting loss is large at the start; the denoising loss of what is retained is added.

Equations implemented: (2) of `lit_unlearn.losses.class_forgetting`;
|e_theta(x_t, c) - stop(e_theta(x_t, c'))|^2 + retain_weight mean l(x retained), c' the next class that stays.

Deviations: both terms are means over pixels (the authors' code has a sum in the second, and a weight of 1e-3).

Command: python -m lit_unlearn.fit experiment=esd/digits method=salun
Expect: docs/diffusion.md.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.class_forgetting import largest_gradients
from lit_unlearn.losses.denoising import noised, squared_error
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.unlearner import Unlearner, generator_of


class SalUn(Unlearner):
    """Relabelled under a mask.

    Args:
        mask_share: share of the weights that may change.
        retain_weight: of the retained pictures' denoising loss.
        others: see `Unlearner`.
    """

    def __init__(
        self,
        mask_share: Annotated[float, Field(gt=0, le=1)] = 0.5,
        retain_weight: Annotated[float, Field(ge=0)] = 1.0,
        **others,
    ):
        super().__init__(**others)
        self.mask_share, self.retain_weight = mask_share, retain_weight
        self._masks: dict[str, Tensor] = {}

    def on_train_start(self) -> None:
        super().on_train_start()
        self._masks = self.masks()

    @torch.enable_grad()
    def masks(self) -> dict[str, Tensor]:
        """Equation (2) from the untouched model and all of S: the same at each start of a run."""
        labelled = self.trainer.datamodule.pools[1]  # type: ignore[attr-defined]
        x, y = labelled.x.to(next(self.untouched.parameters())), labelled.y.to(self.device)
        generator = generator_of(self)
        t = torch.randint(self.num_timesteps, (len(x),), generator=generator).to(self.device)
        noise = torch.randn(x.shape, generator=generator).to(x)
        network = self.untouched.requires_grad_(True)
        a = self.alphas_bar[t]
        said, other = (self.predict(noised(x, noise, a), t, asked, network) for asked in (y, self.other(y)))
        loss = squared_error(said, other.detach()).mean()
        names, weights = zip(*self.trained_weights(network).items(), strict=True)
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        network.requires_grad_(False)
        return largest_gradients(dict(zip(names, found, strict=True)), self.mask_share)

    def objective(self, batch: DiffusionBatch) -> Tensor:
        x, y = batch.labelled, batch.labelled_class
        t, noise = self.noise_like(x)
        xt = noised(x, noise, self.alphas_bar[t])
        with torch.no_grad():
            other = self.predict(xt, t, self.other(y))
        forget = batch_mean(squared_error(self.predict(xt, t, y), other))
        retain = batch_mean(self.denoise(*self.retained(batch)).losses.mean(0))
        self.log_sometimes({"train/forget_loss": forget, "train/retain_loss": retain})
        return forget + self.retain_weight * retain

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for name, weight in self.network.named_parameters():
            if weight.grad is not None:
                weight.grad *= self._masks[name]
