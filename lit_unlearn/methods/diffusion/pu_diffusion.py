"""PU diffusion: a diffusion model of the normal pictures, from contaminated ones and a few labelled sensitive ones.

Takahashi, Iwata, Kumagai, Yamanaka, Yamashita, "Positive-Unlabeled Diffusion Models for Preventing Sensitive Data
Generation", ICLR 2025 (arXiv 2503.03789).

Idea: the risk on normal pictures can be written with what is there, (1 - beta) E_N = E_U - beta E_S, so that the model
is trained towards normal pictures although nobody has picked them out, and away from the sensitive ones.

Equations implemented: (1) to (5) of `lit_unlearn.losses.pu_diffusion`. Its (2) is the paper's loss in a plain reading:
`sensitive_weight=1 cap=null sensitive_timesteps=null scale=1`, with `pixels` mean or sum (method=pu_diffusion_mean,
pu_diffusion_sum). The stabilised form (5) is ours and the default here: one step of U and S is balanced by a scale on
the loss, a cap and a range of timesteps, without which the plain readings break (mean) or hardly act (sum).

Reconstructed: the paper's text was not at hand and the authors' code was not opened. Known are the aim and that
exp(-loss) is the probability of "normal"; the composition follows the authors' PU autoencoder. Sum or mean over pixels,
network, noise, sampler and learning rate are our choice; scale, cap and range of timesteps are ours altogether.

Command: python -m lit_unlearn.fit experiment=pu_diffusion/digits
Expect: docs/diffusion.md.
"""

import logging
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.pu import Correction, pu_risk
from lit_unlearn.losses.pu_diffusion import Held, held_back
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.base import Denoised, Diffusion
from lit_unlearn.metrics.contamination import estimate_contamination
from lit_unlearn.networks.timestep_mean import TimestepMean

log = logging.getLogger(__name__)

Timestep = Annotated[int, Field(ge=0)]


class PUDiffusion(Diffusion):
    """Denoising diffusion under the positive-unlabeled risk, equation (5).

    Args:
        beta: share of sensitive pictures among the unlabeled ones, in [0, 1), or `estimate` to estimate it from the
            training data before the first step.
        correction: of the bracket: `abs`, `clamp`, `nnpu` or `none`, see `lit_unlearn.losses.pu`.
        scale: factor on the loss before it becomes a probability; decides how much more than in U a sample of S
            weighs, equation (3).
        positive: the first term of (5): `bce`, or `none` to leave it out (the bracket alone).
        sensitive_weight: w of (5).
        cap: c of (4); null: none.
        sensitive_timesteps: the range of (4), [low, high]; null: all.
        others: see `Diffusion`.

    Raises:
        UserError: the range is empty or reaches beyond the model's timesteps.
    """

    beta: Tensor

    def __init__(
        self,
        beta: Annotated[float, Field(ge=0, lt=1)] | Literal["estimate"] = 1 / 11,
        correction: Correction = "abs",
        scale: Annotated[float, Field(gt=0)] = 1.0,
        positive: Literal["bce", "none"] = "bce",
        sensitive_weight: Annotated[float, Field(ge=0)] = 1.0,
        cap: Annotated[float, Field(gt=0)] | None = 4.0,
        sensitive_timesteps: list[Timestep] | None = None,
        **others,
    ):
        super().__init__(**others)
        self.register_buffer("beta", torch.tensor(float("nan") if beta == "estimate" else beta, dtype=torch.float64))
        self.correction: Correction = correction
        self.scale, self.positive, self.sensitive_weight, self.cap = scale, positive, sensitive_weight, cap
        span = [0, self.num_timesteps] if sensitive_timesteps is None else sensitive_timesteps
        if len(span) != 2 or not 0 <= span[0] < span[1] <= self.num_timesteps:
            raise UserError(
                f"method.sensitive_timesteps={span}: give [low, high] with 0 <= low < high <= {self.num_timesteps}"
            )
        self.low, self.high = span
        self.usual = TimestepMean(self.num_timesteps)

    def on_train_start(self) -> None:
        if self.beta.isnan():  # a resumed run brings its own
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self.beta.fill_(estimate_contamination(data.unlabeled.x.numpy(), data.labelled.x.numpy(), data.seed))
            log.info(f"estimated beta: {self.beta:.4f} of the unlabeled pictures are sensitive")

    def objective(self, batch: DiffusionBatch) -> Tensor:
        unlabeled, labelled = (Denoised(self.scale * found.losses, found.timesteps) for found in self.both(batch))
        self.usual.update(unlabeled.losses.flatten(), unlabeled.timesteps.flatten())
        held = held_back(*labelled, self.usual(labelled.timesteps), self.cap, self.low, self.high)
        return self.risk(unlabeled.losses.mean(0), held)

    def risk(self, unlabeled: Tensor, held: Held) -> Tensor:
        """Equation (5), divided by the scale so that the learning rate means the same with any.

        Args:
            unlabeled: (U,) l(x, 0).
            held: of the (S,) labelled pictures.
        """
        beta = self.beta.to(unlabeled)
        unlabeled_mean, negative = batch_mean(unlabeled), batch_mean(held.negative)
        positive = torch.zeros_like(negative)
        if self.positive == "bce":
            positive = batch_mean(held.positive(least=1e-6))
        bracket = unlabeled_mean - beta * self.sensitive_weight * negative
        self.log_sometimes(
            {
                "train/loss_unlabeled": unlabeled_mean / self.scale,
                "train/loss_labelled": negative / self.scale,
                "train/positive_term": beta * positive / self.scale,
                "train/bracket": bracket / self.scale,
            }
        )
        weighted = self.sensitive_weight * negative
        return pu_risk(positive, unlabeled_mean, weighted, beta, self.correction) / self.scale
