"""Rows of shares, and rows beside those of the model before."""

from typing import Literal

from torch import Tensor

from lit_unlearn.metrics.shares import share_and_interval
from lit_unlearn.report import Row


def rate_row(suite: str, split: str, metric: str, hits: Tensor, better: Literal["higher", "lower"]) -> Row:
    """The share of True among (N,) bool, with Wilson's interval."""
    value, interval = share_and_interval(hits)
    return Row(suite, split, metric, value, len(hits), interval, better)


def beside(rows: list[Row], before: list[Row]) -> list[Row]:
    """The rows, with the value of the row of the same name among `before` as theirs before; as they are without one."""
    values = {row.name: row.value for row in before}
    return [Row(**vars(row) | {"before": values.get(row.name)}) for row in rows]
