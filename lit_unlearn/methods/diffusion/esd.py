"""ESD: the model is taught to say for a class what it would say to be guided away from it.

Gandikota, Materzynska, Fiotto-Kaufman, Bau, "Erasing Concepts from Diffusion Models", ICCV 2023.

Idea: the untouched model draws a picture of the class up to a random step; from there the trained model, asked for the
class, is to predict what guidance with the opposite sign would. No data are needed.

Equation implemented: (1) of `lit_unlearn.losses.class_forgetting`; |e_theta(x_t, c) - target|^2, mean over pixels.

Deviations: classes in the place of prompts; one random stop for a batch of pictures; `trained=class_embedding` stands
for the paper's cross-attention layers (esd-x), which class-conditional U-Nets do not have.

Command: python -m lit_unlearn.fit experiment=esd/digits
Expect: docs/diffusion.md.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.class_forgetting import guided_away
from lit_unlearn.losses.denoising import squared_error
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.unlearner import Unlearner
from lit_unlearn.networks.sampling import drawn_until


class ESD(Unlearner):
    """Erased by negative guidance.

    Args:
        eta: strength of the negative guidance.
        start_guidance: guidance by which the untouched model draws what training starts from.
        start_steps: DDIM steps of that drawing.
        trained: all weights, or the class embedding alone.
        others: see `Unlearner`.
    """

    def __init__(
        self,
        eta: Annotated[float, Field(ge=0)] = 1.0,
        start_guidance: Annotated[float, Field(ge=0)] = 2.0,
        start_steps: Annotated[int, Field(ge=2)] = 20,
        trained: Literal["all", "class_embedding"] = "all",
        **others,
    ):
        super().__init__(**others)
        self.eta, self.start_guidance, self.start_steps = eta, start_guidance, start_steps
        if trained == "class_embedding" and self.is_conditional:
            self.network.requires_grad_(False)
            self.network.class_embedding.requires_grad_(True)  # type: ignore[union-attr]

    def objective(self, batch: DiffusionBatch) -> Tensor:
        start = torch.randn_like(batch.labelled)
        classes, none = self.asked(len(start)), self.none(len(start))

        def guided(x: Tensor, t: Tensor) -> Tensor:
            told, untold = (self.predict(x, t, asked, self.untouched) for asked in (classes, none))
            return told + self.start_guidance * (told - untold)

        stop = int(torch.randint(self.start_steps, ()))
        x, t = drawn_until(guided, start, self.noise, self.start_steps, stop)
        with torch.no_grad():
            told, untold = (self.predict(x, t, asked, self.untouched) for asked in (classes, none))
        wanted = guided_away(told, untold, self.eta)
        return batch_mean(squared_error(self.predict(x, t, classes), wanted, self.pixels))
