"""IHL: the true token is lowered until another one beats it, and no further.

Cha, Cho, Hwang and Lee, "Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs", ICLR 2025, arXiv
2408.06621 (LoKU: this loss with FILA).

Idea: an inverted hinge between the true token and its strongest rival is bounded, and changes one logit for another
rather than the whole distribution. FILA has LoRA start in the directions that matter to what is forgotten and not to
what stays.

Equations implemented: (7) of `lit_unlearn.losses.forgetting`; with `fila` (1) to (5) of `lit_unlearn.networks.fila`,
before the first step, on all items to forget and to retain. They change the weights beneath the additions; the
checkpoint holds both, and so does the export.

Deviations: squared gradients are of batches of 16 items; see `lit_unlearn.networks.fila` for what is clamped.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=ihl
Expect: docs/llm.md.
"""

from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting
from lit_unlearn.methods.llm.base import Problem, Unlearner
from lit_unlearn.networks.fila import initialise_lora


class Ihl(Unlearner):
    """IHL.

    Args:
        model: see `Problem`.
        fila: initialise the low-rank additions by FILA; needs trained=lora.
        shared: see `Unlearner`.
    """

    def __init__(self, model: Problem, fila: bool = False, **shared):
        super().__init__(model, **shared)
        self.fila = fila

    def forget_loss(self, batch: UnlearningBatch) -> Tensor:
        return forgetting.ihl(self.logits(batch.forget.tokens), batch.forget.labels)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.fila:  # before a checkpoint's weights take the place of these
            pools = self.trainer.datamodule.pools  # type: ignore[attr-defined]
            initialise_lora(self.model.to(self.trainer.strategy.root_device), pools.forget, pools.retain)
