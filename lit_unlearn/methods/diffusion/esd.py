"""ESD: the model is taught to say for a class what it would say to be guided away from it.

Gandikota, Materzynska, Fiotto-Kaufman, Bau, "Erasing Concepts from Diffusion Models", ICCV 2023.

Idea: the untouched model draws a picture of the class up to a random step; from there the trained model, asked for the
class, is to predict what guidance with the opposite sign would. No data are needed.

Equation implemented: (1) of `lit_unlearn.losses.class_forgetting`; |e_theta(x_t, c) - target|^2, mean over pixels.

Deviations: one random stop for a batch of pictures. Class-conditional U-Nets are told classes in the place of prompts,
and have no cross-attention layers to train (esd-x); there, `trained=class_embedding` stands for them.

Command: python -m lit_unlearn.fit experiment=esd/digits
Expect: docs/diffusion.md.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.class_forgetting import guided_away
from lit_unlearn.losses.denoising import squared_error
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.unlearner import Unlearner
from lit_unlearn.networks.text_to_image import TextToImage
from lit_unlearn.networks.unet_parts import Part, train_part


class ESD(Unlearner):
    """Erased by negative guidance.

    Args:
        eta: strength of the negative guidance.
        start_guidance: guidance by which the untouched model draws what training starts from.
        start_steps: DDIM steps of that drawing.
        trained: all weights; the class embedding alone; of a network that is told prompts cross-attention (esd-x), its
            key and value maps (esd-x-strict), or all but it (esd-u). With model.lora_rank: of its additions.
        others: see `Unlearner`.
    """

    def __init__(
        self,
        eta: Annotated[float, Field(ge=0)] = 1.0,
        start_guidance: Annotated[float, Field(ge=0)] = 2.0,
        start_steps: Annotated[int, Field(ge=2)] = 20,
        trained: Part = "all",
        **others,
    ):
        super().__init__(**others)
        self.eta, self.start_guidance, self.start_steps = eta, start_guidance, start_steps
        if self.is_conditional:  # else `check` refuses
            train_part(self.network, trained)
            if isinstance(self.network, TextToImage):
                self.network.fix_untrained()

    def objective(self, batch: DiffusionBatch) -> Tensor:
        start = torch.randn_like(batch.labelled)
        classes = self.asked(len(start))
        x, t = self.partly_drawn(start, classes, self.start_guidance, self.start_steps)
        with torch.no_grad():
            told, untold = (self.predict(x, t, asked, self.untouched) for asked in (classes, self.none(len(start))))
        wanted = guided_away(told, untold, self.eta)
        return batch_mean(squared_error(self.predict(x, t, classes), wanted, self.pixels))
