"""AdvUnlearn: the text encoder of a text-to-image pipeline forgets a prompt, also where the prompt is attacked.

Zhang, Chen, Jia, Zhang, Fan, Liu, Hong, Ding, Liu, "Defensive Unlearning with Adversarial Training for Robust Concept
Erasure in Diffusion Models", NeurIPS 2024.

Idea: adversarial training of the text encoder alone. An inner attack seeks embeddings which, put before the prompt,
make the model say what it once said of it; the text encoder then learns to be guided away under that attack, and to
leave other prompts as they were. What comes out is a text encoder that fits any pipeline with the same U-Net.

Equations implemented: (1) to (3) of `lit_unlearn.losses.adversarial_prompts`.

Reconstructed: the iterative attack is Adam, the prefix starts from normal noise of the token embeddings' width and is
one for a batch; what it is trained on is drawn by the untouched model up to a random step, for both lines of (3).

Command: python -m lit_unlearn.fit experiment=pu_diffusion/text_to_image method=advunlearn data.folder=FILE
Expect: docs/diffusion.md.
"""

from typing import Annotated, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.adversarial_prompts import erased, kept, recalled, sign_step
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.unlearner import Unlearner
from lit_unlearn.methods.schedule import num_steps
from lit_unlearn.networks.text_to_image import Pipeline, TextToImage, TextTrained


class AdvUnlearn(Unlearner):
    """A text encoder trained against attacks; the data's pictures are not used.

    Args:
        prompts: see `Diffusion`; needed here.
        eta: strength of the negative guidance.
        attack: `iterative` (Adam), or `fast` (one step by the gradient's sign).
        prefix: k, embeddings that the attack puts before the prompt.
        attack_steps: of the iterative attack.
        attack_rate: learning rate of the attack, or length of its one step.
        unattacked: share of the steps at the beginning without attack.
        retain_weight: w.
        retained_prompts: r; none: the prompts of the classes that stay.
        retain_batch_size: of them in a step.
        start_guidance: guidance by which the untouched model draws what training starts from.
        start_steps: DDIM steps of that drawing.
        others: see `Unlearner`.

    Raises:
        UserError: the pipeline is told no prompts, or its U-Net is to get additions.
    """

    def __init__(
        self,
        prompts: list[str],
        eta: Annotated[float, Field(ge=0)] = 1.0,
        attack: Literal["fast", "iterative"] = "iterative",
        prefix: Annotated[int, Field(ge=1)] = 1,
        attack_steps: Annotated[int, Field(ge=1)] = 30,
        attack_rate: Annotated[float, Field(gt=0)] = 1e-3,
        unattacked: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        retain_weight: Annotated[float, Field(ge=0)] = 0.3,
        retained_prompts: list[str] | None = None,
        retain_batch_size: Annotated[int, Field(ge=1)] = 5,
        start_guidance: Annotated[float, Field(ge=0)] = 2.0,
        start_steps: Annotated[int, Field(ge=2)] = 50,
        **others,
    ):
        more = retained_prompts or []
        super().__init__(prompts=[*prompts, *more], **others)
        self.eta, self.attack, self.prefix = eta, attack, prefix
        self.attack_steps, self.attack_rate, self.unattacked = attack_steps, attack_rate, unattacked
        self.retain_weight, self.retain_batch_size = retain_weight, retain_batch_size
        self.start_guidance, self.start_steps = start_guidance, start_steps
        first = self.num_classes + 1
        self.stay = list(range(first, first + len(more))) or [
            number for number in range(self.num_classes) if number not in self.sensitive_classes
        ]

    def prompted(self, read: Pipeline) -> TextToImage:
        rank = self.model_block.get("lora_rank")
        if rank is not None:
            raise UserError(f"model.lora_rank={rank}: method=advunlearn trains the text encoder alone; give null")
        return TextTrained(read.unet, read.prompts)

    def check(self, data: LightningDataModule) -> None:
        super().check(data)
        if not isinstance(self.network, TextTrained):
            path = self.model_block["path"]
            raise UserError(f"model.path={path}: is told classes; method=advunlearn needs a text-to-image pipeline")

    def objective(self, batch: DiffusionBatch) -> Tensor:
        classes = self.asked(len(batch.labelled))
        x, t = self.drawn(classes)
        told, untold = (self.once(x, t, asked) for asked in (classes, self.none(len(classes))))
        prefix = self.attacking(x, t, classes, told) if self.is_attacked else None
        away = batch_mean(erased(self.says(x, t, classes, prefix), told, untold, self.eta))
        stay = torch.tensor(self.stay, device=self.device)
        others = stay[torch.randint(len(stay), (self.retain_batch_size,), device=self.device)]
        z, u = self.drawn(others)
        same = batch_mean(kept(self.predict(z, u, others), self.once(z, u, others)))
        self.log_sometimes({"train/forget_loss": away, "train/retain_loss": same})
        return away + self.retain_weight * same

    @property
    def is_attacked(self) -> bool:
        """Whether there is an attack in this step."""
        return self.global_step >= self.unattacked * num_steps(self.trainer)

    def drawn(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Latents that are still noised, as the untouched model draws them for prompts, and their () timestep."""
        like = next(self.network.parameters())
        start = torch.randn(len(rows), *self.input_shape, device=like.device, dtype=like.dtype)
        return self.partly_drawn(start, rows, self.start_guidance, self.start_steps)

    @torch.no_grad()
    def once(self, x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        """What the untouched model says."""
        return self.predict(x, t, rows, self.untouched)

    def says(self, x: Tensor, t: Tensor, rows: Tensor, prefix: Tensor | None) -> Tensor:
        """What the model says for prompts behind a (k, D) prefix."""
        network: TextTrained = self.network  # type: ignore[assignment]
        return network.unet(x, t, encoder_hidden_states=network.hear(rows, prefix)).sample

    def attacking(self, x: Tensor, t: Tensor, classes: Tensor, told: Tensor) -> Tensor:
        """(k, D) a prefix under which the model says of the prompts what it once said."""
        network: TextTrained = self.network  # type: ignore[assignment]
        table = network.prompts.token_embedding.weight.detach()
        noise = torch.randn(self.prefix, table.shape[1], device=table.device, dtype=table.dtype)
        found = (noise * table.std()).requires_grad_(True)

        def gradient() -> Tensor:
            return torch.autograd.grad(recalled(self.says(x, t, classes, found), told).mean(), found)[0]

        if self.attack == "fast":
            return sign_step(found.detach(), gradient(), self.attack_rate)
        optimiser = torch.optim.Adam([found], self.attack_rate)
        for _ in range(self.attack_steps):
            found.grad = gradient()
            optimiser.step()
        return found.detach()
