"""SAE-guided unlearning: a target's internal representation is moved to where those of unknown entities are.

Reconstructed: after Yamashita et al., "Sparse-Autoencoder-Guided Internal Representation Unlearning for Large Language
Models", 2025, arXiv 2509.15631; formulation reconstructed, not checked against the paper (only its abstract was
available).

Idea: a model computes whether it knows an entity while it reads the name. A target counts as forgotten when its
activations cannot be told from those of entities the model never met, in the latent space of a sparse autoencoder. The
model is trained until they cannot; nothing is said about answers, so nothing is merely suppressed.

Equations implemented: (1) to (7) of `lit_unlearn.losses.latent_alignment`, on vectors v read at the entity's last
token, with `positions=entity_to_end` at all later tokens of the prompt as well, and with `name_to_end` from the first
token on in which the target's prompt and the unknown name's differ (the earlier tokens of a long name say who is meant,
too, and blocks beyond the autoencoder read them; but a first name is also that of namesakes):

    space=u     pre-activations u of the autoencoder, which have a gradient where the latent is off
    space=z     softplus(u - threshold), a smooth stand-in for the activations
    space=raw   the residual stream itself: the control that shows what the autoencoder contributes

Chosen latents are those whose firing tells known from unknown entities best (Ferrando et al., ICLR 2025, arXiv
2411.14257): scores in `lit_unlearn.metrics.latents`, the table in the report.

Deviations: as above, all of the formulation. `paired` (each target aims at one fixed unknown name in the same words) is
ours, and the default. So is the weight of the chosen latents: among a thousand, the few that say "known" would hardly
count.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies
Expect: docs/llm.md.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from datamodules.llm.batches import AnswerBatch, UnlearningBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses import latent_alignment
from lit_unlearn.losses.reduction import all_reduce_sum
from lit_unlearn.methods.llm.base import Problem, Unlearner
from lit_unlearn.metrics.latents import latent_scores
from lit_unlearn.networks.reference import Need
from lit_unlearn.networks.sparse_autoencoder import check_fits, load_sparse_autoencoder

Objective = Literal["paired", "latent_set", "centroid", "triplet", "infonce", "mmd", "energy"]


class SaeUnlearning(Unlearner):
    """The forget branch runs the model up to the autoencoder's layer, forward and backward, and no further.

    Args:
        model: see `Problem`; needs `sae`.
        objective: what is minimised, see `lit_unlearn.losses.latent_alignment`.
        space, positions: see above.
        latent_weight: of the objective on all latents.
        chosen_weight: of the objective on the chosen latents; few among many, they would hardly count otherwise.
        k: chosen latents that tell known entities, and as many that tell unknown ones.
        pooled: unknown names are those of the whole batch in any order; else each target has its own.
        eta, margin: of centroid and triplet.
        temperature: of infonce.
        stop_share: training ends after the first epoch in which this share of the targets' readings lay where nine in
            ten of unknown names' lie, on the axis from unknown to known entities; 0 trains to the end.
        max_fvu: by how much the autoencoder misses the states of target entities, at most: the mean squared distance,
            over the variance of the states of all entities.
        shared: see `Unlearner`; the last trained block is the autoencoder's.
    """

    needs = (("unknown", "states"),)
    std: Tensor
    known_mean: Tensor
    unknown_mean: Tensor
    axis: Tensor
    band: Tensor
    bandwidth: Tensor
    chosen: Tensor
    inside: Tensor

    def __init__(
        self,
        model: Problem,
        objective: Objective = "paired",
        space: Literal["u", "z", "raw"] = "u",
        positions: Literal["entity", "entity_to_end", "name_to_end"] = "entity_to_end",
        latent_weight: Annotated[float, Field(ge=0)] = 1.0,
        chosen_weight: Annotated[float, Field(ge=0)] = 1.0,
        k: Annotated[int, Field(ge=1)] = 20,
        pooled: bool = False,
        eta: Annotated[float, Field(ge=0)] = 0.0,
        margin: Annotated[float, Field(ge=0)] = 1.0,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        stop_share: Annotated[float, Field(ge=0, le=1)] = 0.0,
        max_fvu: Annotated[float, Field(gt=0)] = 0.3,
        **shared,
    ):
        if model["sae"] is None:
            raise UserError("model.sae: null; this method needs a sparse autoencoder: a folder or release:id")
        if space == "raw" and objective == "latent_set":
            raise UserError("method.space=raw: objective=latent_set needs latents; give space=u")
        super().__init__(model, **{"last_block": model["layer"]} | shared)
        self.objective, self.space, self.positions, self.k = objective, space, positions, k
        self.latent_weight, self.chosen_weight = latent_weight, 0.0 if space == "raw" else chosen_weight
        self.pooled, self.eta, self.margin, self.temperature = pooled, eta, margin, temperature
        self.stop_share, self.max_fvu = stop_share, max_fvu
        self.sae = load_sparse_autoencoder(model["sae"])
        check_fits(self.sae, self.model.config.hidden_size, model["layer"])
        width = self.sae.d_in if space == "raw" else self.sae.d_sae
        # What is known of known and unknown entities in the untouched model; filled by `measure`.
        for name in ("std", "known_mean", "unknown_mean", "axis"):
            self.register_buffer(name, torch.zeros(width))
        self.register_buffer("band", torch.zeros(2))
        self.register_buffer("bandwidth", torch.ones(()))
        self.register_buffer("chosen", torch.zeros(2, k, dtype=torch.long))  # known, unknown latents
        self.register_buffer("inside", torch.zeros(2, dtype=torch.long))  # readings within the band, readings

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        target, known, unknown = self._vectors(batch)
        if self.objective == "latent_set":
            known_latents, unknown_latents = self.chosen
            ceiling, floor = self.unknown_mean[known_latents], self.unknown_mean[unknown_latents]
            return latent_alignment.latent_set(target[:, known_latents], target[:, unknown_latents], ceiling, floor)
        return self._weighted(lambda latents: self._aligned(target, known, unknown, latents))

    def _weighted(self, objective: Callable[[Tensor | slice], Tensor]) -> Tensor:
        """() an objective on all latents, and on the chosen ones, with their weights."""
        loss = self.std.new_zeros(())
        if self.latent_weight:
            loss = loss + self.latent_weight * objective(slice(None))
        if self.chosen_weight:
            loss = loss + self.chosen_weight * objective(self.chosen.flatten())
        return loss

    def _scaled(self, latents: Tensor | slice, *vectors: Tensor) -> list[Tensor]:
        """Some latents of (N, width) vectors, in units of the entities' spread."""
        return [latent_alignment.scaled(v[..., latents], self.std[latents]) for v in vectors]

    def _aligned(self, target: Tensor, known: Tensor, unknown: Tensor, latents: Tensor | slice) -> Tensor:
        """() the objective on some of the latents."""
        target, known, unknown = self._scaled(latents, target, known, unknown)
        if self.objective == "paired":
            return latent_alignment.paired(target, unknown)
        if self.objective == "centroid":
            unknown_mean, known_mean = self._scaled(latents, self.unknown_mean, self.known_mean)
            return latent_alignment.centroid(target, unknown_mean, known_mean, self.eta, self.margin)
        if self.objective == "triplet":
            drawn = known[torch.randint(len(known), (len(target),), device=known.device)]
            return latent_alignment.triplet(target, unknown, drawn, self.margin)
        if self.objective == "infonce":
            return latent_alignment.infonce(target, unknown, known, self.temperature)
        if self.objective == "mmd":
            return latent_alignment.mmd(target, unknown, self.bandwidth)
        return latent_alignment.energy_distance(target, unknown)

    def _vectors(self, batch: UnlearningBatch) -> tuple[Tensor, Tensor, Tensor]:
        """(N, width) of targets, of known and of unknown entities; row i of the last belongs to row i of the first."""
        reach = torch.minimum(self._reach(batch.forget), self._reach(batch.unknown))
        back = self._back(batch)
        target = self._read(self.states(batch.forget.tokens), batch.forget, reach, back)
        with torch.no_grad():
            unknown = self._read(self.untouched.states("unknown", batch.unknown), batch.unknown, reach, back)
            if self.pooled:
                unknown = unknown[torch.randperm(len(unknown), device=unknown.device)]
            known = unknown[:0]
            if self.objective in ("triplet", "infonce"):
                states = self.untouched.states("retain", batch.retain)
                reach = self._reach(batch.retain)
                known = self._read(states, batch.retain, reach, torch.zeros_like(reach))
            if self.training:
                self._note_inside(target)
        return target, known, unknown

    def _reach(self, batch: AnswerBatch) -> Tensor:
        """(B,) how many tokens of each row are read, from the entity's last on; none where no entity is named."""
        last = batch.entity_end if self.positions == "entity" else batch.prompt_end
        return torch.where(batch.entity_end >= 0, last - batch.entity_end + 1, 0)

    def _back(self, batch: UnlearningBatch) -> Tensor:
        """(B,) how many tokens before the entity's last are read of each row: where the name has begun."""
        if self.positions != "name_to_end":
            return torch.zeros_like(batch.forget.entity_end)
        width = min(batch.forget.tokens.shape[1], batch.unknown.tokens.shape[1])
        differs = batch.forget.tokens[:, :width] != batch.unknown.tokens[:, :width]
        first = differs.int().argmax(1)
        return torch.minimum(batch.forget.entity_end - first, batch.unknown.entity_end).clamp_min(0)

    def _read(self, states: Tensor, batch: AnswerBatch, reach: Tensor, back: Tensor) -> Tensor:
        """(N, width) vectors at the tokens that are read, row by row."""
        column = torch.arange(states.shape[1], device=states.device)
        last = batch.entity_end[:, None]
        return self.in_space(states[(column >= last - back[:, None]) & (column < last + reach[:, None])])

    def in_space(self, states: Tensor) -> Tensor:
        """(N, d) states to (N, width) vectors of `space`."""
        if self.space == "raw":
            return states.float()
        u = self.sae.pre(states)
        return u if self.space == "u" else softplus(u - self.sae.thresholds(u))

    def all_needs(self) -> tuple[Need, ...]:
        known: tuple[Need, ...] = (("retain", "states"),) if self.objective in ("triplet", "infonce") else ()
        return super().all_needs() + known

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            self.measure(self.trainer.datamodule)  # type: ignore[attr-defined]

    @torch.no_grad()
    def measure(self, data: LightningDataModule) -> None:
        """Fills in what is known of known and unknown entities in the untouched model.

        Raises:
            UserError: the autoencoder does not explain the target's states.
        """
        pools = data.pools  # type: ignore[attr-defined]
        known, unknown, target = (self.entity_states(items) for items in (pools.retain, pools.unknown, pools.forget))
        everybody = torch.cat([known, unknown, target]).float()  # a single target varies little
        variance = (everybody - everybody.mean(0)).square().sum(1).mean()
        fvu = float((target - self.sae(target)).square().sum(1).mean() / variance)
        if fvu > self.max_fvu:
            raise UserError(
                f"model.sae={self.problem['sae']}: misses the targets' states by {fvu:.2f} of the variance of all "
                f"entities' states, method.max_fvu={self.max_fvu}; train it longer or wider, or allow more"
            )
        vectors = {"known": self.in_space(known), "unknown": self.in_space(unknown)}
        both = torch.cat(list(vectors.values()))
        self.std.copy_(both.std(0))
        self.known_mean.copy_(vectors["known"].mean(0))
        self.unknown_mean.copy_(vectors["unknown"].mean(0))
        self.axis.copy_((self.known_mean - self.unknown_mean) / (self.std**2 + 1e-6 + 0.01 * (self.std**2).mean()))
        readings = vectors["unknown"] @ self.axis
        self.band.copy_(readings.quantile(torch.tensor([0.05, 0.95], device=readings.device)))
        sample = torch.randperm(len(both), generator=torch.Generator().manual_seed(0))[:1000]
        self.bandwidth.copy_(latent_alignment.median_bandwidth(latent_alignment.scaled(both[sample], self.std)))
        if self.space != "raw":
            scores = latent_scores(self.sae.encode(known), self.sae.encode(unknown))
            self.chosen.copy_(torch.stack([scores.known.topk(self.k).indices, scores.unknown.topk(self.k).indices]))

    def _note_inside(self, target: Tensor) -> None:
        reading = target @ self.axis
        inside = (reading >= self.band[0]) & (reading <= self.band[1])
        self.inside += torch.stack([inside.sum(), torch.ones_like(inside).sum()])

    def on_train_epoch_end(self) -> None:
        inside, of = all_reduce_sum(self.inside.clone()).tolist()
        self.log("train/inside_band", inside / of, prog_bar=True)
        if self.stop_share and inside >= self.stop_share * of:
            self.trainer.should_stop = True
        self.inside.zero_()
