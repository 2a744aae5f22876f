"""Mean log-likelihood of a masked language model: a line is abnormal where its tokens are not expected.

Salazar et al., "Masked Language Model Scoring", ACL 2020 (pseudo-log-likelihood), on a model trained on the log.

Idea: mask each token of a line by itself, ask the model for it, and take the mean surprise.

Equations implemented:

    (1)  L = E[ -log p(x_i | x_masked) ]                          (1) of `lit_unlearn.losses.replaced_tokens`
    (2)  score(x) = -(1/N) sum_i log p(x_i | x without x_i)

Deviations: the mean over the tokens rather than their sum, so that long lines are not abnormal by their length.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=mean_log_likelihood
"""

from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.methods.logs.masked_model import MaskedModel


class MeanLogLikelihood(MaskedModel):
    """A masked language model scored by pseudo-likelihood; arguments as `MaskedModel`."""

    def surprise(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """(M,) summands of equation (2)."""
        return F.cross_entropy(logits, tokens, reduction="none")
