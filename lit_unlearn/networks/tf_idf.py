"""Lines as tf-idf vectors of their words, with what is to be said about words not met before.

Source: Salton & Buckley, "Term-weighting approaches in automatic text retrieval", 1988, in the smoothed form of
scikit-learn's TfidfVectorizer. Equation numbers are those of this module, for a line of the words w, n training lines,
of which df(w) have the word:

    (1)  idf(w) = ln((1 + n) / (1 + df(w))) + 1
    (2)  x_w = times(w) idf(w) / |times idf|           the vector has unit length

A word not met in training has df = 0 and a dimension of its own, in which every training line is 0. (scikit-learn
leaves such words out, so that a line with a new word in it looks the same as the line without.)
"""

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn


class TfIdf(nn.Module):
    """Equation (2). The words and their idf are in the state dict, as extra state.

    Args:
        max_words: how many words are kept, those in most lines first; the others are new ones afterwards. None: all.
    """

    idf: NDArray[np.float64]

    def __init__(self, max_words: int | None = None):
        super().__init__()
        self.max_words = max_words
        self._set([], np.zeros(0), 1.0)

    def fit(self, text: list[str]) -> None:
        """Takes words and idf from distinct training lines."""
        in_lines = Counter(word for line in text for word in set(words_of(line)))
        words = sorted(in_lines, key=lambda word: (-in_lines[word], word))[: self.max_words]
        lines = np.array([in_lines[word] for word in words], np.float64)
        self._set(words, np.log((1 + len(text)) / (1 + lines)) + 1, float(np.log(1 + len(text)) + 1))

    def forward(self, text: list[str]) -> tuple[sparse.csr_array, NDArray[np.float64]]:
        """Equation (2).

        Args:
            text: B lines.

        Returns:
            (B, V) their known words; (B,) the length of the part in the dimensions of new words.
        """
        begin, column, weight = [0], [], []
        new = np.zeros(len(text))
        for number, line in enumerate(text):
            for word, times in Counter(words_of(line)).items():
                place = self.column.get(word)
                if place is None:
                    new[number] += (times * self.new_idf) ** 2
                else:
                    column.append(place)
                    weight.append(times * self.idf[place])
            begin.append(len(column))
        shape = (len(text), len(self.column))
        x = sparse.csr_array((np.array(weight), np.array(column, np.int64), np.array(begin, np.int64)), shape=shape)
        length = np.sqrt(np.asarray(x.power(2).sum(axis=1)) + new)
        return sparse.csr_array(x.multiply(1 / length[:, None])), np.sqrt(new) / length

    def _set(self, words: list[str], idf: NDArray[np.float64], new_idf: float) -> None:
        self.column = {word: place for place, word in enumerate(words)}
        self.idf, self.new_idf = idf, new_idf

    def get_extra_state(self) -> dict[str, Any]:
        return {"words": list(self.column), "idf": torch.from_numpy(self.idf), "new_idf": self.new_idf}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._set(state["words"], state["idf"].cpu().numpy(), state["new_idf"])


def words_of(line: str) -> list[str]:
    """The words between spaces; a line without any has one empty word, so that it is like other empty lines only."""
    return line.split() or [""]
