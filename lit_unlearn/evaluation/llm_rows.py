"""What is measured of one language model, and how the same of several becomes rows side by side."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_unlearn.metrics.knownness import mean_interval
from lit_unlearn.metrics.shares import share_and_interval
from lit_unlearn.report import Row


class Number(NamedTuple):
    """A measured number; the fields are those of `lit_unlearn.report.Row`."""

    value: float
    n: int
    ci95: tuple[float, float] | None
    better: Literal["higher", "lower", "target"]
    target: float | None = None


class Name(NamedTuple):
    """Of a number."""

    suite: str
    metric: str
    split: str


Numbers = dict[Name, Number]


def share(hits: NDArray, better: Literal["higher", "lower", "target"]) -> Number:
    """(N,) bool to the share of True, with Wilson's interval."""
    value, interval = share_and_interval(hits)
    return Number(value, len(hits), interval, better)


def mean(values: NDArray, entities: NDArray, better: Literal["higher", "lower", "target"]) -> Number:
    """The mean of (N,) values, with an interval from a bootstrap of the (N,) entities they belong to."""
    return Number(float(np.mean(values)), len(values), mean_interval(values, entities), better)


def side_by_side(now: Numbers, before: Numbers, reference: Numbers) -> list[Row]:
    """Rows of what was measured now, each beside the same of the untouched model and of the reference."""
    return [
        Row(
            name.suite,
            name.split,
            name.metric,
            *number,
            before=before[name].value if name in before else None,
            reference=reference[name].value if name in reference else None,
        )
        for name, number in now.items()
    ]
