"""What every method shares that makes a language model forget: the model, what of it is trained, and what must stay.

A method defines `forget_loss`. The objective of a step is

    (1)  L = forget_weight * L_forget + sum over the retain terms r of weight_r * L_r

with the retain terms of `lit_unlearn.losses.retaining`.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from datamodules.llm.batches import IGNORED, AnswerBatch, UnlearningBatch
from lit_unlearn.errors import UserError
from lit_unlearn.losses import retaining
from lit_unlearn.losses.tokens import sequence_log_probs
from lit_unlearn.methods.llm.learning_curves import LearningCurves
from lit_unlearn.methods.llm.smoothing import smoothed
from lit_unlearn.methods.schedule import warm_up_and_cosine
from lit_unlearn.networks.causal_lm import TruncatedLM, block_outputs, blocks, load_causal_lm, rows_at_once
from lit_unlearn.networks.muon import muon_adamw
from lit_unlearn.networks.reference import CachedReference, Need, ResidentReference
from lit_unlearn.networks.trained_parts import merge_lora, train_only

RetainTerm = Literal["nll", "kl", "hidden_mse", "final_mse"]


class Problem(TypedDict):
    """The models of a problem, the same for every method: the experiment's `model` block.

    Attributes:
        path: the language model that knows, a folder, a FILE.gguf or a hub name.
        reference: one that never knew the targets; null where there is none.
        sae, heldout_sae: sparse autoencoders, a folder or release:id; the first to train with, both to judge with.
        layer: the block whose output they read, from 0.
    """

    path: str
    reference: str | None
    sae: str | None
    heldout_sae: str | None
    layer: Annotated[int, Field(ge=0)]


def read_tokens(batch: AnswerBatch) -> Tensor:
    """(B, T) bool, prompt and answer: a row ends with its last labelled token, what follows is padding."""
    return (batch.labels != IGNORED).flip(1).cummax(1).values.flip(1)


class Unlearner(LearningCurves):
    """A language model that forgets. A rival is a `forget_loss` and its values.

    Args:
        model: see `Problem`.
        forget_weight: of equation (1).
        retain: weights of the retain terms: nll of the retained answers; kl of the answers' distributions from the
            untouched model's; hidden_mse and final_mse of the states after block `model.layer` and after the last
            block from the untouched model's, in prompt and answer.
        trained: `blocks` trains the weights of the blocks (embeddings, tied to the output as they may be, and norms
            after the last block stay); `lora` trains low-rank additions to their linear layers.
        modules: only parameters whose name in the model matches this regular expression are trained.
        last_block: no block after this one is trained; null trains all.
        lora_rank, lora_alpha: of the additions.
        smoothing: of the forget loss, see `lit_unlearn.methods.llm.smoothing`.
        radius: of the smoothing.
        reference: `cached` computes what the untouched model says of the training items once, before the first step;
            `resident` keeps that model beside the trained one.
        optimiser: AdamW, or Muon for matrices and AdamW for the rest, see `lit_unlearn.networks.muon`.
        learning_rate: of the optimiser, at its highest.
        weight_decay: of the optimiser.
        warm_up: share of the steps over which the learning rate rises; then it falls to 0 along a cosine.
        force: train although the model does not know the targets.
    """

    batch_type = UnlearningBatch
    needs: ClassVar[tuple[Need, ...]] = ()
    """What `forget_loss` asks `self.reference` for."""

    def __init__(
        self,
        model: Problem,
        forget_weight: Annotated[float, Field(ge=0)] = 1.0,
        retain: dict[RetainTerm, Annotated[float, Field(ge=0)]] | None = None,
        trained: Literal["blocks", "lora"] = "blocks",
        modules: str = "",
        last_block: Annotated[int, Field(ge=0)] | None = None,
        lora_rank: Annotated[int, Field(ge=1)] = 8,
        lora_alpha: Annotated[float, Field(gt=0)] = 16.0,
        smoothing: Literal["none", "sam", "random", "gradient_penalty", "curvature"] = "none",
        radius: Annotated[float, Field(ge=0)] = 0.01,
        reference: Literal["cached", "resident"] = "cached",
        optimiser: Literal["adamw", "muon"] = "adamw",
        learning_rate: Annotated[float, Field(gt=0)] = 1e-4,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        force: bool = False,
    ):
        super().__init__()
        self.problem = model
        self.forget_weight, self.force = forget_weight, force
        self.retain = {term: weight for term, weight in (retain or {}).items() if weight > 0}
        self.smoothing, self.radius, self.reference_kind = smoothing, radius, reference
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.weight_decay, self.warm_up = weight_decay, warm_up
        self.model = load_causal_lm(model["path"])
        rank = lora_rank if trained == "lora" else None
        last = len(blocks(self.model)) - 1 if last_block is None else last_block
        train_only(self.model, modules, last, rank, lora_alpha)
        self.reference: CachedReference | ResidentReference | None = None

    @torch.no_grad()
    def check(self, data: LightningDataModule) -> None:
        """That there is something to forget; called before anything is written.

        Raises:
            UserError: the true answers about the targets are no more probable than when names never seen are asked
                about, by two standard errors of the difference, and `force` is not given; or the tokenizer is not the
                model's.
        """
        pools = data.pools  # type: ignore[attr-defined]
        vocabulary = self.model.get_input_embeddings().num_embeddings
        if len(data.tokenizer) > vocabulary:  # type: ignore[attr-defined]
            raise UserError(
                f"data.tokenizer: has {len(data.tokenizer)} tokens and model.path={self.problem['path']} "  # type: ignore[attr-defined]
                f"{vocabulary}; give the tokenizer of this model"
            )
        rows = torch.randperm(len(pools.forget), generator=torch.Generator().manual_seed(0))[:256]
        known, guessed = (self._token_probabilities(items, rows) for items in (pools.forget, pools.guess))
        more = known - guessed  # of the same prompts, but for the name
        if more.mean() <= 2 * more.std() / len(rows) ** 0.5 and not self.force:
            raise UserError(
                f"data.targets: the model does not know them: it gives their true answers a probability of "
                f"{known.mean():.3f}, and {guessed.mean():.3f} when names that nobody has are asked about (a token's "
                f"mean, {len(rows)} items; the difference is below two standard errors); "
                "choose targets that it knows, or give method.force=true"
            )

    def _token_probabilities(self, items: Any, rows: Tensor) -> Tensor:
        """(n,) of the answers of some items: geometric means over their tokens."""
        found = []
        for part in rows.split(rows_at_once(items.tokens.shape[1], self.model.config.vocab_size, len(rows))):
            batch = items.batch(part)
            found.append((self.log_probs(batch) / (batch.labels != IGNORED).sum(1)).exp())
        return torch.cat(found)

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        """() what is minimised so that the targets are forgotten; means are over all processes."""
        raise NotImplementedError

    def forward(self, batch: UnlearningBatch) -> Tensor:
        """The forget loss, as a module's call: smoothing calls it with other weights."""
        return self.forget_loss(batch)

    def training_step(self, batch: UnlearningBatch, batch_idx: int) -> Tensor:
        forget = smoothed(self, batch, self.smoothing, self.radius)
        loss = self.forget_weight * forget
        values = {"train/forget_loss": forget}
        for term, kept in self.retain_losses(batch.retain).items():
            loss = loss + self.retain[term] * kept
            values[f"train/retain_{term}"] = kept
        self.log_sometimes({"train/loss": loss} | values, prog_bar=True)
        return loss

    def retain_losses(self, batch: AnswerBatch) -> dict[RetainTerm, Tensor]:
        """() the retain terms of equation (1) that have a weight, all from one forward pass that ends where it can."""
        layers = {"hidden_mse": self.problem["layer"], "final_mse": len(blocks(self.model)) - 1}
        held = {term: layer for term, layer in layers.items() if term in self.retain}
        losses: dict[RetainTerm, Tensor] = {}
        with block_outputs(self.model, set(held.values())) as states:
            if "kl" in self.retain or "nll" in self.retain:
                logits = self.logits(batch.tokens)
            elif held:
                TruncatedLM(self.model, max(held.values()))(batch.tokens)
        if "hidden_mse" in held:
            untouched = self.untouched.states("retain", batch)
            losses["hidden_mse"] = retaining.hidden_mse(states[held["hidden_mse"]], untouched, read_tokens(batch))
        if "final_mse" in held:
            untouched = self.untouched.final_states("retain", batch)
            losses["final_mse"] = retaining.hidden_mse(states[held["final_mse"]], untouched, read_tokens(batch))
        if "nll" in self.retain:
            losses["nll"] = retaining.nll(logits, batch.labels)
        if "kl" in self.retain:
            losses["kl"] = self._retain_kl(logits, batch)
        return losses

    def _retain_kl(self, logits: Tensor, batch: AnswerBatch) -> Tensor:
        values, indices = self.untouched.distributions("retain", batch)
        if values.shape[-1] < logits.shape[-1]:
            return retaining.kl_top_k(logits, batch.labels, values, indices)
        return retaining.kl(logits, batch.labels, torch.zeros_like(values).scatter(-1, indices, values))

    @property
    def untouched(self) -> CachedReference | ResidentReference:
        """What the untouched model says of the training items."""
        assert self.reference is not None, "needs not declared"
        return self.reference

    def logits(self, tokens: Tensor) -> Tensor:
        """(B, T) tokens to (B, T, V) logits."""
        return self.model(tokens, use_cache=False).logits

    def log_probs(self, batch: AnswerBatch) -> Tensor:
        """(B,) log-probabilities of the answers."""
        return sequence_log_probs(self.logits(batch.tokens), batch.labels)

    def states(self, tokens: Tensor) -> Tensor:
        """(B, T, d) residual stream after block `model.layer`; nothing beyond it is computed."""
        return TruncatedLM(self.model, self.problem["layer"])(tokens)

    def all_needs(self) -> tuple[Need, ...]:
        """What the objective asks the untouched model for."""
        retained: dict[RetainTerm, Need] = {
            "kl": ("retain", "distributions"),
            "hidden_mse": ("retain", "states"),
            "final_mse": ("retain", "final_states"),
        }
        return self.needs + tuple(retained[term] for term in self.retain if term in retained)

    def setup(self, stage: str) -> None:
        """Asks the untouched model, before a checkpoint's weights take its place."""
        if stage != "fit" or self.probe is not None:
            return
        data, device = self.trainer.datamodule, self.trainer.strategy.root_device  # type: ignore[attr-defined]
        self.to(device)
        self.fit_knowledge_probe(data)
        if not self.all_needs():
            return
        if self.reference_kind == "cached":
            self.reference = CachedReference(self.model, self.problem["layer"], data.pools, self.all_needs())
        else:
            untouched: torch.nn.Module = load_causal_lm(self.problem["path"])
            self.reference = ResidentReference(untouched.to(device), self.problem["layer"])

    def unlearned(self) -> Any:
        """The language model to be judged and handed on, in eval mode."""
        return self.model.eval()

    def configure_optimizers(self) -> Any:
        optimiser: torch.optim.Optimizer
        if self.optimiser == "muon":
            rates = {"learning_rate": self.learning_rate, "learning_rate_others": self.learning_rate}
            optimiser = muon_adamw(self.model, blocks(self.model), weight_decay=self.weight_decay, **rates)
        else:
            trained = [weight for weight in self.parameters() if weight.requires_grad]
            optimiser = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        return warm_up_and_cosine(optimiser, self.trainer, self.warm_up)

    def configure_model(self) -> None:
        if self.device_mesh is None:
            return
        if self.smoothing != "none":
            raise UserError(
                f"method.smoothing={self.smoothing}: not with trainer=fsdp, whose weights are in parts; use trainer=ddp"
            )
        for block in blocks(self.model):  # each by itself: a forward pass may end after any
            torch.distributed.fsdp.fully_shard(block, mesh=self.device_mesh["data_parallel"])  # type: ignore[arg-type]

    def export(self, folder: Path, data: LightningDataModule) -> None:
        """Writes the unlearned model with its tokenizer, for AutoModelForCausalLM and AutoTokenizer."""
        merge_lora(self.unlearned()).save_pretrained(folder)
        data.tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
