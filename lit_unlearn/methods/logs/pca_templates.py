"""PCA on templates: a line is abnormal if the few directions in which normal messages vary cannot express its message.

Xu, Huang, Fox, Patterson, Jordan, "Detecting Large-Scale System Problems by Mining Console Logs", SOSP 2009.

Idea: the templates of normal lines vary in a subspace of few dimensions, found by PCA; what is left of a line outside
of it, the squared prediction error, is its score.

Equations implemented, numbered here: (1) and (2) of `lit_unlearn.networks.tf_idf` for the words of a line's template,
and with the mean m and the first components P, which have `variance` of the variance,

    (3)  s(x) = |(I - P P') (x - m)|^2

Deviations: the paper counts templates in windows of lines (or sessions); a single line has one template, whose number
alone says nothing, so the vector is made of the template's words, weighted by tf-idf as the paper's counts are, and of
unit length because templates differ in length. Drain makes the templates (the paper reads them off the source code). A
line without a template is taken as it is. Every template weighs as many lines as it has. The paper's threshold
(Q statistic) is left to the thresholds all methods share.
Reconstructed: the use on single lines.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=pca_templates
"""

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from datamodules.logs.batches import LineBatch
from lit_unlearn.methods.logs.base import FittedLogDetector
from lit_unlearn.networks.log_templates import LogTemplates
from lit_unlearn.networks.tf_idf import TfIdf


def principal_components(
    x: NDArray[np.float64], count: NDArray[np.int64], variance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean m and the components P of equation (3).

    Args:
        x: (N, V) vectors.
        count: (N,) how often each occurs.
        variance: share of the variance that the components have at least.

    Returns:
        (V,) mean; (R, V) orthonormal components, as few as suffice; R is 0 if all vectors are equal.
    """
    weight = count / count.sum()
    mean = weight @ x
    _, deviation, directions = np.linalg.svd((x - mean) * np.sqrt(weight)[:, None], full_matrices=False)
    reached = np.cumsum(deviation**2)
    if reached[-1] < 1e-12:
        return mean, directions[:0]
    return mean, directions[: np.searchsorted(reached, variance * reached[-1] * (1 - 1e-12)) + 1]


def squared_prediction_error(
    x: NDArray[np.float64], mean: NDArray[np.float64], components: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Equation (3): (N, V) vectors, (V,) mean and (R, V) orthonormal components to (N,) errors."""
    centred = x - mean
    return np.square(centred - centred @ components.T @ components).sum(1)


class PCATemplates(FittedLogDetector):
    """Equation (3). Templates, words, mean and components are in the checkpoint.

    Args:
        variance: share of the variance that the components have.
        similarity: of lines of a template, see `LogTemplates`.
    """

    def __init__(
        self,
        variance: Annotated[float, Field(gt=0, le=1)] = 0.95,
        similarity: Annotated[float, Field(gt=0, le=1)] = 0.4,
    ):
        super().__init__()
        self.variance = variance
        self.templates = LogTemplates(similarity)
        self.tf_idf = TfIdf()
        self.mean, self.components = np.zeros(0), np.zeros((0, 0))

    def fit_lines(self, text: list[str], count: NDArray[np.int64]) -> None:
        occurrences = self.templates.fit(text, count)
        self.tf_idf.fit(self.templates.templates)
        x, _ = self.tf_idf(self.templates.templates)
        self.mean, self.components = principal_components(x.toarray(), occurrences, self.variance)

    def line_scores(self, batch: LineBatch) -> Tensor:
        messages = [*self.templates.templates, None]
        found = self.templates.match(batch.text)
        x, new = self.tf_idf([messages[i] or line for i, line in zip(found, batch.text, strict=True)])
        # Outside the dimensions of the training words nothing varies: what is there is error.
        error = squared_prediction_error(x.toarray(), self.mean, self.components) + new**2
        return torch.tensor(error, dtype=torch.float32, device=batch.tokens.device)

    def get_extra_state(self) -> dict[str, Any]:
        return {"mean": torch.from_numpy(self.mean), "components": torch.from_numpy(self.components)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.mean, self.components = (state[name].cpu().numpy() for name in ("mean", "components"))
