"""What the methods share that take a class from a trained class-conditional diffusion model."""

from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, nn

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.denoising import stratified_timesteps
from lit_unlearn.methods.diffusion.base import Diffusion
from lit_unlearn.networks.sampling import drawn_until


class Unlearner(Diffusion):
    """A trained class-conditional model that is to forget the sensitive classes. A method is an `objective`.

    Args:
        others: see `Diffusion`; model.path is needed.
    """

    def __init__(self, **others):
        super().__init__(**others)
        self._untouched: list[nn.Module] = []  # in a list: it is read again from model.path, no checkpoint holds it

    def check(self, data: LightningDataModule) -> None:
        """That there is a class to forget; called before anything is written.

        Raises:
            UserError: there is no trained model, or it is told no class.
        """
        name = type(self).__module__.rpartition(".")[2]
        if self.model_block["path"] is None:
            raise UserError(f"model.path=null: method={name} changes a trained model; give its pipeline folder")
        if not self.is_conditional:
            raise UserError(
                f"model.path={self.model_block['path']}: is not told a class; method={name} needs a class-conditional "
                "model (model.unet.conditional=true when it was trained)"
            )

    def on_train_start(self) -> None:
        like = next(self.network.parameters())
        self._untouched = [self.fresh_network()[0].to(like).eval().requires_grad_(False)]

    @property
    def untouched(self) -> nn.Module:
        """The model as it was, without gradients."""
        return self._untouched[0]

    def retained(self, batch: DiffusionBatch) -> tuple[Tensor, Tensor]:
        """Pictures and classes of U whose class is to stay: a class-conditional model was told them all."""
        stays = ~torch.isin(batch.unlabeled_class, torch.tensor(self.sensitive_classes, device=self.device))
        return batch.unlabeled[stays], batch.unlabeled_class[stays]

    def asked(self, count: int) -> Tensor:
        """(count,) the classes to forget, drawn at random."""
        choices = torch.tensor(self.sensitive_classes, device=self.device)
        return choices[torch.randint(len(choices), (count,), device=self.device)]

    @property
    def staying(self) -> list[int]:
        """The classes that are to stay."""
        return [number for number in range(self.num_classes) if number not in self.sensitive_classes]

    def other(self, classes: Tensor) -> Tensor:
        """(B,) the next class that stays."""
        after = [
            min(self.staying, key=lambda number: (number - given - 1) % self.num_classes)
            for given in range(self.num_classes)
        ]
        return torch.tensor(after, device=classes.device)[classes]

    def none(self, count: int) -> Tensor:
        """(count,) no class."""
        return torch.full((count,), self.num_classes, device=self.device)

    def noise_like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps and noise for pictures, drawn here."""
        return stratified_timesteps(len(x), self.num_timesteps, x.device), torch.randn_like(x)

    def partly_drawn(self, start: Tensor, classes: Tensor, guidance: float, steps: int) -> tuple[Tensor, Tensor]:
        """What the untouched model draws from noise up to a random step, still noised, and its () timestep.

        Args:
            start: (B, C, H, W) noise.
            classes: (B,) that it is asked for.
            guidance: see `Diffusion`.
            steps: DDIM steps of a whole drawing.
        """
        none = self.none(len(start))

        def guided(x: Tensor, t: Tensor) -> Tensor:
            told, untold = (self.predict(x, t, asked, self.untouched) for asked in (classes, none))
            return told + guidance * (told - untold)

        stop = int(torch.randint(steps, ()))
        return drawn_until(guided, start, self.noise, steps, stop)

    def trained_weights(self, network: nn.Module) -> dict[str, nn.Parameter]:
        """By name, the weights of a network that has this one's, of those that are trained here."""
        of = dict(network.named_parameters())
        return {name: of[name] for name, weight in self.network.named_parameters() if weight.requires_grad}


def generator_of(method: Any) -> torch.Generator:
    """A generator that is the same at each start of a run, for what is made once before its first step."""
    return torch.Generator().manual_seed(method.trainer.datamodule.seed)
