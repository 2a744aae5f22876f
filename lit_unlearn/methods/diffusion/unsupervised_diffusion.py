"""Plain denoising diffusion: all unlabeled pictures count as normal, labelled ones are not used.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020.

Idea: what anybody does who does not know that the data are contaminated. With `data.contamination=0` it is the oracle,
which nobody has: a model of the same normal pictures alone.

Equation implemented: the mean over U of (3) of `lit_unlearn.losses.denoising`.

Command: python -m lit_unlearn.fit experiment=unsupervised_diffusion/digits
Expect: docs/diffusion.md.
"""

from torch import Tensor

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.diffusion.base import Diffusion


class UnsupervisedDiffusion(Diffusion):
    """The denoising loss of the unlabeled pictures.

    Args:
        others: see `Diffusion`.
    """

    def __init__(self, **others):
        super().__init__(**others)

    def objective(self, batch: DiffusionBatch) -> Tensor:
        return batch_mean(self.denoise(batch.unlabeled, batch.unlabeled_class).losses.mean(0))
