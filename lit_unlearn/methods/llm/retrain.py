"""Retraining: the reference, a model that was trained from the start without the targets.

Idea: what unlearning is measured against. It takes as long as training did, so that it is no method but a yardstick.

Equation: none; the reference of the problem (`model.reference`) is judged as it is.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=retrain
Expect: docs/llm.md.
"""

from lightning import LightningDataModule

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm.base import Problem, Unlearner


class Retrain(Unlearner):
    """The reference model in the place of an unlearned one.

    Args:
        model: see `Problem`; needs `reference`.
    """

    def __init__(self, model: Problem):
        if model["reference"] is None:
            raise UserError(
                "model.reference: null; method=retrain is the model that never knew the targets: train one on the "
                "retained data and give its folder"
            )
        super().__init__({**model, "path": model["reference"]})
        self.problem = model
        self.automatic_optimization = False

    def check(self, data: LightningDataModule) -> None:
        """Nothing: that this model does not know the targets is the point of it."""

    def training_step(self, batch: UnlearningBatch, batch_idx: int) -> None:  # type: ignore[override]
        # A step without gradients, which changes nothing: Lightning saves no checkpoint of a run without a step.
        self.optimizers().step()  # type: ignore[union-attr]
        self.trainer.should_stop = True
