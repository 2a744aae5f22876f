"""A decoder-only language model, trained from scratch or further on packed documents.

Next-token loss over all documents' tokens; the architecture is that of Touvron et al., "LLaMA", 2023, arXiv 2302.13971
(transformers' `LlamaForCausalLM`), or that of the model that is trained further.

Equation implemented: (1) L = - mean over tokens t of log p(x_t | x_<t within the document).

Command: python -m lit_unlearn.fit experiment=lm_pretraining/biographies
Expect: docs/llm.md.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from datamodules.llm.batches import IGNORED, TextBatch
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.schedule import warm_up_and_cosine
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.networks.causal_lm import blocks, load_causal_lm, small_llama
from lit_unlearn.networks.muon import muon_adamw


class LmPretraining(SparseLogging):
    """Next-token training.

    Args:
        vocab_size: comes from the data.
        start: a folder or hub name of a model to train further; null starts from random weights of the sizes below.
        hidden, layers, heads, feed_forward: sizes.
        optimiser: Muon for the matrices of blocks and AdamW for the rest, or AdamW for all.
        learning_rate: of the matrices of blocks, at its highest.
        learning_rate_others: of embeddings and norms (Muon only).
        weight_decay: of matrices.
        warm_up: share of the steps over which the rates rise; then they fall to 0 along a cosine.
    """

    batch_type = TextBatch
    problem = None

    def __init__(
        self,
        vocab_size: int,
        start: str | None = None,
        hidden: Annotated[int, Field(ge=8)] = 128,
        layers: Annotated[int, Field(ge=1)] = 4,
        heads: Annotated[int, Field(ge=1)] = 4,
        feed_forward: Annotated[int, Field(ge=8)] = 384,
        optimiser: Literal["muon", "adamw"] = "muon",
        learning_rate: Annotated[float, Field(gt=0)] = 5e-3,
        learning_rate_others: Annotated[float, Field(gt=0)] = 3e-3,
        weight_decay: Annotated[float, Field(ge=0)] = 0.1,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.04,
    ):
        super().__init__()
        self.model = load_causal_lm(start) if start else small_llama(vocab_size, hidden, layers, heads, feed_forward)
        self.model.train()
        self.optimiser, self.warm_up, self.weight_decay = optimiser, warm_up, weight_decay
        self.learning_rate, self.learning_rate_others = learning_rate, learning_rate_others

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        loss = self.next_token_loss(batch)
        self.log_sometimes({"train/loss": loss}, prog_bar=True)
        return loss

    def next_token_loss(self, batch: TextBatch) -> Tensor:
        """() equation (1); the mean is over the tokens of all processes."""
        logits = self.model(batch.tokens, position_ids=batch.positions, use_cache=False).logits
        targets = batch.labels[:, 1:]
        learnt = targets != IGNORED
        return batch_mean(cross_entropy(logits[:, :-1][learnt], targets[learnt], reduction="none"))

    def unlearned(self) -> Any:
        """The language model to be judged."""
        return self.model.eval()

    def configure_optimizers(self) -> Any:
        if self.optimiser == "muon":
            rates = {"learning_rate": self.learning_rate, "learning_rate_others": self.learning_rate_others}
            optimiser: Any = muon_adamw(self.model, blocks(self.model), weight_decay=self.weight_decay, **rates)
        else:
            groups: list[dict[str, Any]] = [
                {"params": [p for p in self.parameters() if p.ndim > 1], "weight_decay": self.weight_decay},
                {"params": [p for p in self.parameters() if p.ndim <= 1], "weight_decay": 0.0},
            ]
            optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.98), fused=True)
        return warm_up_and_cosine(optimiser, self.trainer, self.warm_up)

    def configure_model(self) -> None:
        if self.device_mesh is not None:  # FSDP2
            torch.distributed.fsdp.fully_shard(self.model, mesh=self.device_mesh["data_parallel"])  # type: ignore[arg-type]

    def export(self, folder: Path, data: LightningDataModule) -> None:
        """Writes the model with its tokenizer, for AutoModelForCausalLM and AutoTokenizer."""
        self.model.save_pretrained(folder)
        data.tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
