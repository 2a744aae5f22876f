"""Sparse autoencoders of a language model's residual stream, trained with the sae-lens library.

Cunningham et al., "Sparse Autoencoders Find Highly Interpretable Features in Language Models", 2023, arXiv 2309.08600
(standard); Gao et al., "Scaling and evaluating sparse autoencoders", 2024, arXiv 2406.04093 (topk, and the auxiliary
loss for dead latents); Bussmann et al., "BatchTopK Sparse Autoencoders", 2024, arXiv 2412.06410; Rajamanoharan et al.,
"Jumping Ahead", 2024, arXiv 2407.14435 (jumprelu).

Idea: states of a language model are sums of few directions out of many. The autoencoder writes each state h as a sparse
code z of non-negative latents, and its decoder's rows are the directions.

Equation implemented, with the losses of sae-lens' `TrainingSAE` classes, h' as in
`lit_unlearn.networks.sparse_autoencoder`:

    (1)  L = mean over states of |h - h'|^2 + (topk, batchtopk) a reconstruction of the rest by dead latents
                                            + (jumprelu, standard) lambda times the L0, or the L1, of z

What sae-lens' trainer does around a step is done here in Lightning: states scaled to a mean norm of sqrt(d) (centred
ones to a mean square of d), lambda rising from 0, gradients clipped to norm 1, Adam whose rate rises, stays, and falls
to 0 along lines, latents counted as dead that no state has switched on for a while.

Deviations: the states of a step are those of whole blocks of text, drawn over all of it, and not mixed further; states
of first tokens of documents are left out, as of padding (nothing precedes them, and in pretrained models they are
outliers); with several processes batchtopk takes the largest of each process's states, and the threshold it is saved
with is the first process's.

Command: python -m lit_unlearn.fit experiment=sae_training/biographies
Expect: docs/llm.md.
"""

import copy
import math
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from datamodules.llm.batches import IGNORED, TextBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.reduction import all_reduce_sum, batch_mean
from lit_unlearn.methods.schedule import num_steps
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.networks.causal_lm import TruncatedLM, blocks, load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder

if TYPE_CHECKING:
    from sae_lens.saes.sae import TrainingSAE, TrainStepOutput

SCALE_BATCHES = 50
"""Batches from which the scale of the states is estimated."""


class Read(TypedDict):
    """What is read.

    Attributes:
        path: the language model, a folder, a FILE.gguf or a hub name.
        layer: the block whose output it is, from 0.
    """

    path: str
    layer: Annotated[int, Field(ge=0)]


class SaeTraining(SparseLogging):
    """Trains a sparse autoencoder on the output of a block of a frozen language model.

    Args:
        model: see `Read`.
        architecture: what makes codes sparse.
        d_sae: number of latents.
        k: latents that are on in a state (topk), or in a state on average (batchtopk).
        sparsity: lambda in equation (1) (jumprelu, standard).
        sparsity_warm_up: share of the steps over which lambda rises.
        learning_rate: of Adam, at its highest.
        warm_up, decay: shares of the steps over which the rate rises, and falls to 0 at the end.
        dead_after: steps after which a latent that was never on counts as dead.
        centred: subtract the mean of all states first (it is added to b_dec in the end). In pretrained models it can be
            longer than what varies; without this most latents die of it.
    """

    batch_type = TextBatch
    suite = "sae"
    scale: Tensor
    centre: Tensor
    total_steps: int
    steps_since_on: Tensor

    def __init__(
        self,
        model: Read,
        architecture: Literal["topk", "batchtopk", "jumprelu", "standard"] = "topk",
        d_sae: Annotated[int, Field(ge=2)] = 1024,
        k: Annotated[int, Field(ge=1)] = 16,
        sparsity: Annotated[float, Field(ge=0)] = 1.0,
        sparsity_warm_up: Annotated[float, Field(ge=0, le=1)] = 0.2,
        learning_rate: Annotated[float, Field(gt=0)] = 1e-3,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        dead_after: Annotated[int, Field(ge=1)] = 100,
        centred: bool = False,
    ):
        super().__init__()
        if architecture in ("topk", "batchtopk") and k > d_sae:
            raise UserError(f"method.k={k}: more than the {d_sae} latents of method.d_sae; give fewer")
        self.problem = model
        language_model = load_causal_lm(model["path"])
        # Not a module: the language model gets into neither checkpoints nor optimiser.
        self.truncated = TruncatedLM(language_model.requires_grad_(False), model["layer"])
        block = blocks(language_model)[model["layer"]]
        self.d_in = language_model.config.hidden_size
        self.sae = _training_sae(
            architecture,
            sizes={"d_in": self.d_in, "d_sae": d_sae},
            k=k,
            sparsity=sparsity,
            metadata={
                "model_name": model["path"],
                "model_class_name": "AutoModelForCausalLM",
                "hook_name": next(name for name, module in language_model.named_modules() if module is block),
                "layer": model["layer"],
                "prepend_bos": False,
            },
        )
        self.sparsity_warm_up, self.dead_after = sparsity_warm_up, dead_after
        self.learning_rate, self.warm_up, self.decay = learning_rate, warm_up, decay
        self.centred = centred
        self.register_buffer("scale", torch.tensor(torch.nan))
        self.register_buffer("centre", torch.zeros(self.d_in), persistent=centred)
        self.register_buffer("steps_since_on", torch.zeros(d_sae, dtype=torch.long))

    def check(self, data: LightningDataModule) -> None:
        """That the data are written in the language model's tokens; called before anything is written.

        Raises:
            UserError: they have another tokenizer.
        """
        data.check_tokenizer(self.problem["path"])  # type: ignore[attr-defined]

    @torch.no_grad()
    def states(self, batch: TextBatch) -> Tensor:
        """(N, d) states after the block, of all tokens but padding and the first of documents."""
        labels = batch.labels.to(self.device)
        return self.truncated(batch.tokens.to(self.device), batch.positions.to(self.device))[labels != IGNORED].float()

    def on_fit_start(self) -> None:
        self.truncated.body.to(self.device)
        self.sae.to(device=self.device, dtype=self.dtype)  # where it is already: sae-lens keeps its own notes of it

    @torch.no_grad()
    def on_train_start(self) -> None:
        """Estimates centre and scale of the states, once: a run that goes on has those of its weights."""
        if not self.scale.isnan():
            return
        loader = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        batches = (self.states(batch) for batch in islice(loader, SCALE_BATCHES))
        if not self.centred:
            norm = batch_mean(torch.cat([states.norm(dim=-1) for states in batches]))
        else:
            found = [_moments(states.double()) for states in batches]  # squares go before a mean is subtracted
            sums = all_reduce_sum(torch.stack(found).sum(0))
            means = sums[:-1] / sums[-1]
            self.centre.copy_(means[:-1])
            norm = (means[-1] - means[:-1].square().sum()).sqrt()
        self.scale.fill_(math.sqrt(self.d_in) / norm)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        from sae_lens.saes.sae import TrainStepInput

        states = (self.states(batch) - self.centre) * self.scale
        logs = (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        output = self.sae.training_forward_pass(
            TrainStepInput(
                sae_in=states,
                coefficients=self.coefficients(),
                dead_neuron_mask=self.dead(),
                n_training_steps=self.global_step,
                is_logging_step=logs,
            )
        )
        with torch.no_grad():
            on = all_reduce_sum(output.feature_acts.ne(0).any(0).float()).bool()
            self.steps_since_on.add_(1).masked_fill_(on, 0)
            if logs:
                self.log_sometimes(self.progress(output), prog_bar=True)
                self.log_sometimes({f"train/{name}": value for name, value in output.losses.items()})
        return batch_mean(output.loss.expand(len(states)))  # states, not processes, count alike

    def coefficients(self) -> dict[str, float]:
        """Lambda of equation (1) at this step, by its name in sae-lens; nothing for topk and batchtopk."""
        rising = round(self.sparsity_warm_up * self.total_steps)
        share = min(1.0, self.global_step / rising) if rising else 1.0
        return {name: full.value * share for name, full in self.sae.get_coefficients().items()}

    def dead(self) -> Tensor:
        """(d_sae,) bool, latents that no state has switched on in the last `dead_after` steps."""
        return self.steps_since_on > self.dead_after

    def progress(self, output: "TrainStepOutput") -> dict[str, Tensor]:
        """Loss, explained variance, latents that are on in a state, and dead ones."""
        left = (output.sae_in - output.sae_out).square().sum()
        variance = (output.sae_in - output.sae_in.mean(0)).square().sum()
        return {
            "train/loss": output.loss,
            "train/explained_variance": 1 - left / variance,
            "train/l0": output.feature_acts.ne(0).sum(-1).float().mean(),
            "train/dead_latents": self.dead().sum().float(),
        }

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(self.sae.parameters(), lr=self.learning_rate, fused=True)
        steps = self.total_steps = num_steps(self.trainer)
        rising, falling = max(1, round(self.warm_up * steps)), max(1, round(self.decay * steps))

        def share(step: int) -> float:
            return min((step + 1) / rising, 1.0, (steps - step) / falling)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        self.clip_gradients(optimizer, gradient_clip_val or 1.0, gradient_clip_algorithm or "norm")

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # FSDP2
            from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

            fully_shard(self.sae, mesh=self.device_mesh["data_parallel"])  # type: ignore[arg-type]
            register_fsdp_forward_method(self.sae, "training_forward_pass")

    def inference_form(self) -> "TrainingSAE":
        """A copy that reads states as they are: their centre and scale are folded into its weights."""
        trained = copy.deepcopy(self.sae).to(device="cpu", dtype=torch.float32)
        centre = (self.centre * self.scale).cpu()
        with torch.no_grad():
            trained.b_dec += centre
            if not trained.cfg.apply_b_dec_to_input:
                trained.b_enc -= centre @ trained.W_enc
        trained.fold_activation_norm_scaling_factor(self.scale.item())
        trained.cfg.metadata.num_dead_features = int(self.dead().sum())
        return trained

    def autoencoder(self) -> SparseAutoencoder:
        """The trained autoencoder."""
        trained = self.inference_form()
        weights = trained.state_dict()
        trained.process_state_dict_for_saving_inference(weights)
        return SparseAutoencoder(trained.cfg.get_inference_sae_cfg_dict(), weights)

    def export(self, folder: Path, data: LightningDataModule) -> None:
        """Writes the trained autoencoder for `sae_lens.SAE.load_from_disk` and `load_sparse_autoencoder`."""
        trained = self.inference_form()
        trained.cfg.metadata.context_size = data.max_length  # type: ignore[attr-defined]
        trained.save_inference_model(folder)


def _moments(states: Tensor) -> Tensor:
    """(N, d) to (d + 2,): their sum, the sum of their squares, and N."""
    return torch.cat([states.sum(0), states.square().sum()[None], states.new_tensor([float(len(states))])])


def _training_sae(
    architecture: str, sizes: dict[str, int], k: int, sparsity: float, metadata: dict[str, Any]
) -> "TrainingSAE":
    """What sae-lens trains, with its random weights."""
    import sae_lens  # takes ten seconds
    from sae_lens.saes.sae import SAEMetadata

    shared = sizes | {"normalize_activations": "expected_average_only_in", "metadata": SAEMetadata(**metadata)}
    if architecture == "topk":
        return sae_lens.TopKTrainingSAE(sae_lens.TopKTrainingSAEConfig(k=k, **shared))
    if architecture == "batchtopk":
        return sae_lens.BatchTopKTrainingSAE(sae_lens.BatchTopKTrainingSAEConfig(k=k, **shared))
    if architecture == "jumprelu":
        return sae_lens.JumpReLUTrainingSAE(sae_lens.JumpReLUTrainingSAEConfig(l0_coefficient=sparsity, **shared))
    return sae_lens.StandardTrainingSAE(sae_lens.StandardTrainingSAEConfig(l1_coefficient=sparsity, **shared))
