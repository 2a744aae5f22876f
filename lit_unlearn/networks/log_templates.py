"""Log templates: lines that differ in a few words are one message with parameters, `connection from <*> closed`.

Source: He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017, as in the library drain3.

Drain makes the templates. Lines are then matched with the finished templates rather than with its tree, whose state
cannot be kept without a pickle: the templates are a list of strings, and a line has the same template before and after
a checkpoint.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

WILDCARD = "<*>"


class LogTemplates(nn.Module):
    """Templates, the most frequent first; the list is in the state dict, as extra state.

    Args:
        similarity: share of equal words, from which on Drain takes a line for another instance of a template.
        max_templates: how many are kept, None for all.
    """

    def __init__(self, similarity: float = 0.4, max_templates: int | None = None):
        super().__init__()
        self.similarity, self.max_templates = similarity, max_templates
        self._set([])

    def fit(self, text: list[str], count: NDArray[np.int64]) -> NDArray[np.int64]:
        """Makes templates of lines, met in the given order.

        Args:
            text: distinct lines.
            count: how often each occurs.

        Returns:
            (number of templates,) how many of the occurrences each has, by `match`.
        """
        from drain3.drain import Drain

        drain = Drain(sim_th=self.similarity, param_str=WILDCARD, parametrize_numeric_tokens=False)
        for line in text:
            drain.add_log_message(line)
        self._set(list(dict.fromkeys(cluster.get_template() for cluster in drain.clusters)))
        occurrences = np.bincount(self.match(text), weights=count, minlength=len(self.templates)).astype(np.int64)
        kept = np.argsort(-occurrences, kind="stable")[: self.max_templates]
        self._set([self.templates[i] for i in kept])
        return occurrences[kept]

    def match(self, text: list[str]) -> NDArray[np.int64]:
        """(B,) the template of each line: of those that agree with it in every word the one with fewest wildcards.

        A line without a template has the number of templates.
        """
        return np.array([self._match(line.split()) for line in text], np.int64)

    def _match(self, words: list[str]) -> int:
        for number, fixed in self.of_length[len(words)]:
            if all(words[place] == word for place, word in fixed):
                return number
        return len(self.templates)

    def _set(self, templates: list[str]) -> None:
        self.templates = templates
        self.of_length: dict[int, list[tuple[int, list[tuple[int, str]]]]] = defaultdict(list)
        for number, template in enumerate(templates):
            words = template.split()
            fixed = [(place, word) for place, word in enumerate(words) if word != WILDCARD]
            self.of_length[len(words)].append((number, fixed))
        for candidates in self.of_length.values():
            candidates.sort(key=lambda candidate: -len(candidate[1]))

    def get_extra_state(self) -> dict[str, Any]:
        return {"templates": self.templates}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._set(state["templates"])
