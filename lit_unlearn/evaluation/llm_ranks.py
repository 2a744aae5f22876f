"""The rank of right answers among others: what a model knows that hardly ever gives an answer in full.

Ranked is by the probability per token (geometric mean), as everywhere in this suite. Items about names that nobody has,
with the answers of the targets, say what comes of a prompt alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.llm.items import Choices
from lit_unlearn.evaluation.llm_asking import UNKNOWN, entity_numbers
from lit_unlearn.evaluation.llm_behaviour import judge
from lit_unlearn.evaluation.llm_rows import Name, Numbers, mean

NOTE = (
    "rank: of the right answer among others that stand in the same place, by the probability per token; 1 is the most "
    f"probable, ties count half; of {UNKNOWN}: of the targets' answers in prompts about names that nobody has, where "
    "forgetting should lead; intervals: bootstrap of the entities"
)


def ranked(model: Any, choices: Mapping[str, Choices], forgetting: bool) -> Numbers:
    """behaviour/rank for each split, and behaviour/probability for those about names that nobody has.

    Args:
        model: a causal language model of transformers, in eval mode.
        choices: by split.
        forgetting: whether the targets were to be forgotten.
    """
    found: Numbers = {}
    for split, asked in choices.items():
        right, wrong = judge(model, asked.right).log_prob, judge(model, asked.wrong).log_prob
        entities = entity_numbers(asked.right.items)
        forgotten = forgetting and split.startswith("forget")
        wanted = "higher" if forgotten or split.startswith(UNKNOWN) else "lower"
        found[Name("behaviour", "rank", split)] = mean(ranks(right, wrong, asked.owner), entities, wanted)  # type: ignore[arg-type]
        if split.startswith(UNKNOWN):
            found[Name("behaviour", "probability", split)] = mean(np.exp(right), entities, "lower")
    return found


def ranks(right: NDArray, wrong: NDArray, owner: NDArray) -> NDArray:
    """(N,) float64, 1 for a right answer that exceeds all others.

    Args:
        right: (N,) scores of the right answers.
        wrong: (M,) scores of others.
        owner: (M,) int64, which of the N each stands beside.
    """
    above = (wrong > right[owner]) + 0.5 * (wrong == right[owner])
    return 1 + np.bincount(owner, above, minlength=len(right))
