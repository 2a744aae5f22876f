"""Isolation forest on words: a line that a few random cuts on its words separate from the rest is abnormal.

Liu et al., "Isolation Forest", ICDM 2008; grown by scikit-learn's IsolationForest with its defaults, on tf-idf vectors.

Equations implemented: (1) and (2) of `lit_unlearn.networks.tf_idf`; (1) and (2) of
`lit_unlearn.networks.isolation_forest`.

Deviations: the forest grows on a random sample of the lines of the log, each line as often as it occurs, since the
vectors are held dense; only the words that are in most distinct lines have a dimension. Words without one, new ones
among them, are left out before the vector gets its length, as scikit-learn's TfidfVectorizer does: no tree could cut on
them, and a line with many of them would be taken for one with few words, which is common.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=tfidf_isolation_forest
"""

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from datamodules.logs.batches import LineBatch
from lit_unlearn.methods.logs.base import FittedLogDetector
from lit_unlearn.networks.isolation_forest import IsolationForestScore
from lit_unlearn.networks.tf_idf import TfIdf


class TfidfIsolationForest(FittedLogDetector):
    """An isolation forest on the tf-idf vectors of lines.

    Args:
        num_trees: trees of the forest.
        max_samples: lines a tree is grown from; all of them where there are fewer.
        max_words: words that have a dimension.
        max_lines: lines the forest may draw from; a random part of the training lines where there are more.
    """

    def __init__(
        self,
        num_trees: Annotated[int, Field(ge=1)] = 100,
        max_samples: Annotated[int, Field(ge=2)] = 256,
        max_words: Annotated[int, Field(ge=1)] = 2000,
        max_lines: Annotated[int, Field(ge=2)] = 10_000,
    ):
        super().__init__()
        self.tf_idf = TfIdf(max_words)
        self.forest = IsolationForestScore(num_trees, max_samples)
        self.max_lines = max_lines

    def fit_lines(self, text: list[str], count: NDArray[np.int64]) -> None:
        seed = self.trainer.datamodule.seed  # type: ignore[attr-defined]
        self.tf_idf.fit(text)
        occurrences = np.repeat(np.arange(len(text)), count)
        drawn = np.random.default_rng(seed).permutation(occurrences)[: self.max_lines]
        self.forest.grow(self.dense([text[i] for i in drawn]), seed)

    def dense(self, text: list[str]) -> Tensor:
        """(B, V) float32, as scikit-learn's trees have it; zeros for a line without a word that has a dimension."""
        return F.normalize(torch.from_numpy(self.tf_idf(text)[0].toarray())).float()

    def line_scores(self, batch: LineBatch) -> Tensor:
        return self.forest(self.dense(batch.text).to(batch.tokens.device))
