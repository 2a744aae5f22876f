"""CRISP: latents of a sparse autoencoder that fire on the targets, and not on the rest, are switched off for good.

Ashuach et al., "CRISP: Persistent Concept Unlearning via Sparse Autoencoders", 2025, arXiv 2508.13650.

Idea: few latents stand for what is to be forgotten. The weights are trained until these do not fire on it, while the
states on everything else stay.

Equations implemented, numbered here; u pre-activations, z activations, h states at the autoencoder's layer, h0 and u0
of the untouched model, S the salient latents:

    (1)  S = the k latents with the highest (firing share on forget tokens - on retain tokens), of the 10,000 highest,
         whose mean activation on the former is at least min_ratio times that on the latter
    (2)  L_forget = mean of relu(u_j + b) over forget tokens and j in S that were on, b = |boost mean of those u0_j|
    (3)  L = (1-beta) L_forget + beta |h - h0|^2 / d + beta gamma |h_last - h0_last|^2 / d, both on retain tokens

The boost keeps a gradient where a latent has gone off. beta .99 and gamma .01 are in `forget_weight` and `retain`.

Deviations: one layer; retained items serve as coherence prompts as well; in (1) means take the place of sums over two
texts of equal length, and nothing is added to the denominator but 1e-6; b is of the untouched model, so that (2) has a
lower bound; no dropout, and AdamW without AMSGrad.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=crisp
Expect: docs/llm.md.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses.reduction import all_reduce_sum
from lit_unlearn.methods.llm.base import Problem, Unlearner, read_tokens
from lit_unlearn.networks.sparse_autoencoder import check_fits, load_sparse_autoencoder

CANDIDATES = 10_000
"""Of equation (1)."""


def salient_latents(
    forget_share: Tensor, retain_share: Tensor, forget_mean: Tensor, retain_mean: Tensor, k: int, min_ratio: float
) -> Tensor:
    """Equation (1).

    Args:
        forget_share, retain_share: (d_sae,) share of tokens that a latent fires on.
        forget_mean, retain_mean: (d_sae,) mean activations.
        k: latents that are chosen, at most.
        min_ratio: of the means.

    Returns:
        (d_sae,) bool.
    """
    order = (forget_share - retain_share).argsort(descending=True, stable=True)[:CANDIDATES]
    specific = (forget_mean > 0) & (forget_mean >= min_ratio * (retain_mean + 1e-6))
    chosen = torch.zeros_like(specific)
    chosen[order[specific[order]][:k]] = True
    return chosen


class Crisp(Unlearner):
    """CRISP.

    Args:
        model: see `Problem`; needs `sae`.
        k: salient latents, at most.
        min_ratio: of equation (1).
        boost: of equation (2).
        shared: see `Unlearner`.
    """

    needs = (("forget", "states"),)
    salient: Tensor
    offset: Tensor

    def __init__(
        self,
        model: Problem,
        k: Annotated[int, Field(ge=1)] = 10,
        min_ratio: Annotated[float, Field(ge=0)] = 3.0,
        boost: Annotated[float, Field(ge=0)] = 5.0,
        **shared,
    ):
        if model["sae"] is None:
            raise UserError("model.sae: null; this method needs a sparse autoencoder: a folder or release:id")
        super().__init__(model, **shared)
        self.k, self.min_ratio, self.boost = k, min_ratio, boost
        self.sae = load_sparse_autoencoder(model["sae"])
        check_fits(self.sae, self.model.config.hidden_size, model["layer"])
        self.register_buffer("salient", torch.zeros(self.sae.d_sae, dtype=torch.bool))  # filled by `setup`
        self.register_buffer("offset", torch.zeros(()))

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        read = read_tokens(batch.forget)
        u = self.sae.pre(self.states(batch.forget.tokens)[read])[:, self.salient]
        were_on = self.sae.encode(self.untouched.states("forget", batch.forget)[read])[:, self.salient] > 0
        losses = (u + self.offset).relu() * were_on
        total, count = all_reduce_sum(torch.stack([losses.sum(), were_on.sum().to(losses.dtype)]))
        return total / count.clamp_min(1)

    def setup(self, stage: str) -> None:
        """Chooses the latents, on the untouched model.

        Raises:
            UserError: no latent fires on the targets so much more than on the retained items.
        """
        super().setup(stage)
        if stage != "fit":
            return
        pools = self.trainer.datamodule.pools  # type: ignore[attr-defined]
        share, mean, level = self._firing(pools.forget)
        retain_share, retain_mean, _ = self._firing(pools.retain)
        chosen = salient_latents(share, retain_share, mean, retain_mean, self.k, self.min_ratio)
        if not chosen.any():
            raise UserError(
                f"method.min_ratio={self.min_ratio}: no latent of {self.problem['sae']} fires so much more on the "
                f"targets than on what is retained; the highest ratio is "
                f"{float((mean / (retain_mean + 1e-6)).max()):.2f}. Give less, or another autoencoder"
            )
        self.salient.copy_(chosen)
        self.offset.copy_((self.boost * (level * share)[chosen].sum() / share[chosen].sum()).abs())

    @torch.no_grad()
    def _firing(self, items: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(d_sae,) each, over a pool's tokens: share that a latent fires on, mean activation, mean u where it fires."""
        sums, tokens = torch.zeros(3, self.sae.d_sae, device=self.device), 0
        for rows in torch.arange(len(items)).split(64):
            batch = items.batch(rows)
            read = read_tokens(batch).to(self.device)
            u = self.sae.pre(self.states(batch.tokens.to(self.device))[read])
            z = self.sae.codes(u)
            sums += torch.stack([(z > 0).to(u.dtype), z, u * (z > 0)]).sum(1)
            tokens += len(u)
        return sums[0] / tokens, sums[1] / tokens, sums[2] / sums[0].clamp_min(1)
