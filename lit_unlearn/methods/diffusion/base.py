"""What every diffusion method shares: the network and its noise, a denoising loss by sample, sampling, export.

A method defines `objective`. Equations: those of `lit_unlearn.losses.denoising`.
"""

import copy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NotRequired

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.denoising import (
    Pixels,
    min_snr_weight,
    noised,
    squared_error,
    stratified_timesteps,
    target,
)
from lit_unlearn.methods.schedule import warm_up_and_cosine
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.networks.denoiser import Sampler, UNet, new_unet, pretrained_unet, save_pipeline
from lit_unlearn.networks.latents import Autoencoder
from lit_unlearn.networks.prompts import PromptEncoder, read_prompt_encoder
from lit_unlearn.networks.sampling import Denoiser, draw
from lit_unlearn.networks.text_to_image import (
    Pipeline,
    TextToImage,
    TextTrained,
    is_text_to_image,
    read_text_to_image,
    save_text_to_image,
    with_fixed_prompts,
)
from lit_unlearn.networks.unet_parts import ATTENTION_LAYERS, add_lora


class Model(TypedDict):
    """The model of a problem, the same for every method: the experiment's `model` block. One of the two is null.

    Attributes:
        path: a diffusers pipeline folder to go on from.
        unet: what to train from scratch.
        lora_rank: of low-rank additions to the U-Net of a text-to-image pipeline, which are then all that is trained;
            null trains its own weights.
        lora_alpha: the additions are scaled with alpha / rank; null: 1.
        lora_layers: ends of the names of the layers that get additions; absent: those of attention.
    """

    path: str | None
    unet: UNet | None
    lora_rank: NotRequired[Annotated[int, Field(ge=1)] | None]
    lora_alpha: NotRequired[Annotated[float, Field(gt=0)] | None]
    lora_layers: NotRequired[list[str]]


class Denoised(NamedTuple):
    """Denoising losses of B samples at K timesteps each.

    Attributes:
        losses, timesteps: (K, B).
    """

    losses: Tensor
    timesteps: Tensor

    def of(self, samples: slice) -> "Denoised":
        """Those of some of the samples."""
        return Denoised(self.losses[:, samples], self.timesteps[:, samples])


class Diffusion(SparseLogging):
    """A diffusion model of pictures. A method is an `objective` and its values.

    Samples are drawn with the weights' moving average where a callback keeps one (`lit_unlearn.networks.ema`), with
    the weights of the last step where none does; the export holds the same weights.

    Args:
        input_shape: (C, H, W); comes from the data.
        num_classes: comes from the data; class-conditional networks are told one of them, or none.
        sensitive_classes: comes from the data.
        model: see `Model`.
        prompts: of the classes, which a text-to-image pipeline is told; comes from the data that have them. More may
            follow that a method asks for: they are the numbers after `num_classes`.
        weighting: of the loss by timestep: plain, or min_snr.
        snr_gamma: of min_snr.
        pixels: mean or sum of the squared errors over a picture's values.
        t_samples: timesteps drawn for each picture in a step.
        class_dropout: share of the pictures whose class a class-conditional network is not told in training.
        sampler: see `lit_unlearn.networks.sampling.draw`.
        sampling_steps: of the sampler.
        guidance: of class-conditional sampling: 0 is the network's own word, above it is pushed away from what it says
            without the class (classifier-free guidance, Ho and Salimans, 2022).
        learning_rate: of Adam, at its highest.
        warm_up: share of the steps over which the learning rate rises; then it falls to 0 along a cosine.

    Raises:
        UserError: both of model.path and model.unet are given, or neither; or they do not fit the data.

    A text-to-image pipeline is a class-conditional network whose classes are prompts. It works on latents: batches hold
    them, `input_shape` is theirs once this is built, and only `sample` gives pictures.
    """

    sharded: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = ()  # what a reader of the report must know of the method
    takes_prompts: ClassVar[bool] = True
    alphas_bar: Tensor
    average: nn.Module | None

    def __init__(
        self,
        input_shape: list[int],
        num_classes: int,
        sensitive_classes: list[int],
        model: Model,
        prompts: list[str] | None = None,
        weighting: Literal["plain", "min_snr"] = "plain",
        snr_gamma: Annotated[float, Field(gt=0)] = 5.0,
        pixels: Pixels = "mean",
        t_samples: Annotated[int, Field(ge=1)] = 1,
        class_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        sampler: Sampler = "ddim",
        sampling_steps: Annotated[int, Field(ge=1, le=1000)] = 50,
        guidance: Annotated[float, Field(ge=0)] = 0.0,
        learning_rate: Annotated[float, Field(gt=0)] = 1e-3,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05,
    ):
        super().__init__()
        if (model["path"] is None) == (model["unet"] is None):
            raise UserError(
                "model.path and model.unet: give one of them, a pipeline folder to go on from or the sizes of a new "
                "network; the other is null"
            )
        self.input_shape, self.num_classes, self.sensitive_classes = input_shape, num_classes, sensitive_classes
        self.model_block, self.prompts = model, prompts
        self._picture_shape, self._seed = input_shape, torch.initial_seed()
        self._autoencoder: list[Autoencoder] = []  # in a list: it is read from model.path, no checkpoint holds it
        self.network, self.noise = self.fresh_network()
        if self._autoencoder:
            self.input_shape = self._autoencoder[0].latent_shape(input_shape)
        self.register_buffer("alphas_bar", self.noise.alphas_bar().double(), persistent=False)
        self.average = None
        self.weighting, self.snr_gamma, self.pixels, self.t_samples = weighting, snr_gamma, pixels, t_samples
        self.class_dropout, self.guidance = class_dropout, guidance
        self.sampler, self.sampling_steps = sampler, sampling_steps
        self.learning_rate, self.warm_up = learning_rate, warm_up

    def fresh_network(self) -> tuple[nn.Module, Any]:
        """The network as it is before the first step, and its noise."""
        path, rank = self.model_block["path"], self.model_block.get("lora_rank")
        if path is not None and is_text_to_image(path):
            read = self.read_pipeline(path)
            self._autoencoder = [read.autoencoder]
            return self.prompted(read), read.noise
        if rank is not None:
            raise UserError(
                f"model.lora_rank={rank}: additions are for text-to-image pipelines, this network is a UNet2DModel; "
                "give null"
            )
        if path is not None:
            return pretrained_unet(path, self._picture_shape, self.num_classes)
        assert self.model_block["unet"] is not None
        return new_unet(self.model_block["unet"], self._picture_shape, self.num_classes)

    def read_pipeline(self, path: str) -> Pipeline:
        """The text-to-image pipeline at model.path."""
        name = type(self).__module__.rpartition(".")[2]
        if not self.takes_prompts:
            raise UserError(f"model.path={path}: is told prompts; method={name} takes a UNet2DModel, told classes")
        if self.prompts is None:
            raise UserError(
                f"model.path={path}: is told prompts, these data have none; use data=diffusion/text_to_image"
            )
        return read_text_to_image(path, self._picture_shape, self.told_prompts)

    def prompted(self, read: Pipeline) -> TextToImage:
        """The network of a text-to-image pipeline, all of it trained or its additions alone."""
        network, rank = with_fixed_prompts(read), self.model_block.get("lora_rank")
        if rank is not None:
            alpha = self.model_block.get("lora_alpha") or float(rank)
            add_lora(network.unet, rank, alpha, self.model_block.get("lora_layers", ATTENTION_LAYERS), self._seed)
        network.fix_untrained()
        return network

    def prompt_encoder(self, network: TextToImage) -> PromptEncoder:
        """The text encoder that a text-to-image network hears prompts through, with the prompts."""
        if isinstance(network, TextTrained):
            return network.prompts
        path = self.model_block["path"]
        assert path is not None
        return read_prompt_encoder(Path(path).expanduser(), self.told_prompts, f"model.path={path}").to(self.device)

    @property
    def told_prompts(self) -> list[str]:
        """By number: the classes' prompts, the empty one, and others that a method asks for."""
        prompts = self.prompts or []
        return [*prompts[: self.num_classes], "", *prompts[self.num_classes :]]

    def encode(self, x: Tensor) -> Tensor:
        """(N, C, H, W) pictures in [-1, 1] to what the network works on: they themselves, or their latents."""
        device = self.device if self._trainer is None else self.trainer.strategy.root_device
        return self._autoencoder[0].encode(x, device) if self._autoencoder else x

    def on_fit_start(self) -> None:
        self.trainer.datamodule.encode(self.encode)  # type: ignore[attr-defined]

    @property
    def is_conditional(self) -> bool:
        return self.network.config.num_class_embeds is not None  # type: ignore[union-attr]

    @property
    def num_timesteps(self) -> int:
        return self.noise.num_timesteps

    def objective(self, batch: DiffusionBatch) -> Tensor:
        """The () training objective of a batch; means are taken over all processes."""
        raise NotImplementedError

    def training_step(self, batch: DiffusionBatch, batch_idx: int) -> Tensor:
        loss = self.objective(batch)
        self.log_sometimes({"train/loss": loss}, prog_bar=True)
        return loss

    def predict(self, x: Tensor, t: Tensor, classes: Tensor | None, network: nn.Module | None = None) -> Tensor:
        """(B, C, H, W) what a network says of noised pictures, this one if none is named.

        Args:
            x: (B, C, H, W) noised pictures.
            t: () or (B,) int64.
            classes: (B,) int64, `num_classes` for none; not looked at by an unconditional network.
            network: another one of the same kind.
        """
        network = self.network if network is None else network
        told = {"class_labels": classes} if self.is_conditional else {}
        return network(x, t, **told).sample

    def denoise(self, x: Tensor, classes: Tensor) -> Denoised:
        """The denoising loss of (B, C, H, W) pictures at `t_samples` timesteps each, drawn here, in one pass."""
        count = self.t_samples * len(x)
        t = stratified_timesteps(count, self.num_timesteps, x.device)
        noise = torch.randn(count, *x.shape[1:], device=x.device, dtype=x.dtype)
        losses = self.losses_at(x.repeat(self.t_samples, 1, 1, 1), self.told(classes).repeat(self.t_samples), t, noise)
        return Denoised(losses.view(self.t_samples, -1), t.view(self.t_samples, -1))

    def losses_at(self, x: Tensor, classes: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """(B,) denoising losses of pictures at given timesteps and noise."""
        a = self.alphas_bar[t]
        said = self.predict(noised(x, noise, a), t, classes)
        losses = squared_error(said, target(x, noise, a, self.noise.prediction), self.pixels)
        if self.weighting == "min_snr":
            losses = losses * min_snr_weight(a, self.noise.prediction, self.snr_gamma).to(losses)
        return losses

    def told(self, classes: Tensor) -> Tensor:
        """(B,) classes, some of them replaced by "none" in training."""
        if not (self.training and self.is_conditional):
            return classes
        hidden = torch.rand(len(classes), device=classes.device) < self.class_dropout
        return torch.where(hidden, self.num_classes, classes)

    def both(self, batch: DiffusionBatch) -> tuple[Denoised, Denoised]:
        """Losses of the unlabeled and of the labelled pictures, from one pass through the network."""
        x = torch.cat([batch.unlabeled, batch.labelled])
        found = self.denoise(x, torch.cat([batch.unlabeled_class, batch.labelled_class]))
        return found.of(slice(0, len(batch.unlabeled))), found.of(slice(len(batch.unlabeled), len(x)))

    @property
    def sampled_network(self) -> nn.Module:
        """The weights that samples are drawn with: the average where there is one."""
        return self.network if self.average is None else self.average

    @torch.no_grad()
    def sample(self, start: Tensor, classes: Tensor | None = None, network: nn.Module | None = None) -> Tensor:
        """(B, C, H, W) pictures in [-1, 1] from standard normal noise of `input_shape`.

        Args:
            start: the noise.
            classes: (B,) int64 that a class-conditional network is asked for.
            network: another one of the same kind; None: `sampled_network`.
        """
        drawn = self.generate(start, classes, network)
        return self._autoencoder[0].decode(drawn).clamp(-1, 1) if self._autoencoder else drawn

    @torch.no_grad()
    def generate(self, start: Tensor, classes: Tensor | None = None, network: nn.Module | None = None) -> Tensor:
        """What `sample` draws before it is decoded: pictures in [-1, 1], or latents."""
        network = self.sampled_network if network is None else network
        was_training = network.training
        network.eval()
        if self.is_conditional and classes is None:
            classes = torch.full((len(start),), self.num_classes, device=start.device)
        none = torch.full((len(start),), self.num_classes, device=start.device)

        def said(x: Tensor, t: Tensor) -> Tensor:
            told = self.predict(x, t, classes, network)
            if self.guidance == 0 or not self.is_conditional:
                return told
            return told + self.guidance * (told - self.predict(x, t, none, network))

        drawn = self.from_noise(said, start, network)
        network.train(was_training)
        return drawn if self._autoencoder else drawn.clamp(-1, 1)

    def from_noise(self, said: Denoiser, start: Tensor, network: nn.Module) -> Tensor:
        """(B, C, H, W) pictures from noise by what a network says; for methods that do not draw step by step."""
        return draw(said, start, self.noise, self.sampler, self.sampling_steps)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes room for the average, where the checkpoint has one."""
        if self.average is None and any(key.startswith("average.") for key in checkpoint["state_dict"]):
            self.average = copy.deepcopy(self.network).requires_grad_(False)

    def configure_optimizers(self) -> Any:
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        optimiser = torch.optim.Adam(trained, lr=self.learning_rate, fused=True)
        return warm_up_and_cosine(optimiser, self.trainer, self.warm_up)

    def export(self, folder: Path, data: LightningDataModule) -> None:
        """Writes the pipeline, see `lit_unlearn.networks.denoiser.save_pipeline` and `text_to_image`."""
        network, path = self.sampled_network, self.model_block["path"]
        if isinstance(network, TextToImage):
            assert path is not None
            return save_text_to_image(folder, path, network)
        save_pipeline(folder, self.sampled_network, self.noise)
