"""ADBench's tables for anomaly detection (Han et al., NeurIPS 2022): cardio, thyroid, satellite, ..."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from datamodules.anomaly.base import AnomalyDataModule, Items
from datamodules.anomaly.protocol import Index, Pool
from datamodules.data_root import Source, locate
from datamodules.npz import finite_float32, read_npz
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import derived_seed

TRAIN_SHARE = 0.6
PAGE = "https://github.com/Minqi824/ADBench/tree/main/adbench/datasets/Classical"


class ADBench(AnomalyDataModule):
    """One table of ADBench, each column standardised with the unlabeled training rows.

    The seed draws three fifths of the normal rows and of the seen anomalies for training; the rest is for the test.
    A table has no classes of anomalies, so we make some: k-means groups them once, whatever the seed. One group is
    unseen and wholly left to the test, the others are seen. This grouping is ours, ADBench has none.

    With the defaults of `AnomalyDataModule` a table's anomalies, which are few, decide how many normal rows are used:
    about 300 of `thyroid`, 11,500 of `shuttle`. A lower `contamination` uses more of them.

    Args:
        data_root: folder that holds `adbench/`, with files such as `6_cardio.npz` (arrays X and y, y = 1: anomaly).
        name: the table, `cardio` for `6_cardio.npz`; in capitals or not.
        num_groups: number of groups of anomalies.
        unseen_group: the group that training never meets; 0 is the smallest.
        protocol: see `AnomalyDataModule`.

    Raises:
        UserError: there is no such group.
    """

    def __init__(
        self,
        *,
        data_root: str,
        name: str = "cardio",
        num_groups: Annotated[int, Field(ge=2, le=10)] = 3,
        unseen_group: Annotated[int, Field(ge=0, le=9)] = 0,
        **protocol,
    ):
        if unseen_group >= num_groups:
            raise UserError(
                f"data.unseen_group={unseen_group}: with data.num_groups={num_groups} the groups are 0 to "
                f"{num_groups - 1}; choose one of them"
            )
        super().__init__(**protocol)
        self.data_root, self.table = data_root, name
        self.num_groups, self.unseen_group = num_groups, unseen_group
        self.centre = self.spread = torch.empty(0)

    def load(self) -> Items:
        path = find_table(self.data_root, self.table)
        x, y = read_table(path)
        anomalies = np.flatnonzero(y == 1)
        if len(anomalies) < self.num_groups:
            raise UserError(f"data.num_groups={self.num_groups}: {path} has {len(anomalies)} anomalies; lower it")
        group = groups_by_size(x[anomalies], self.num_groups)
        unseen = anomalies[group == self.unseen_group]
        rng = np.random.default_rng(derived_seed("table", self.seed))
        normal_train, normal_test = _divide(np.flatnonzero(y == 0), rng)
        seen_train, seen_test = _divide(anomalies[group != self.unseen_group], rng)
        return Items(
            x=lambda rows: x[rows],
            train=Pool(normal_train, seen_train, unseen=np.empty(0, np.int64)),
            test=Pool(normal_test, seen_test, unseen),
        )

    def measure(self, unlabeled: NDArray[np.float32]) -> None:
        spread = unlabeled.std(axis=0, dtype=np.float64)
        spread[np.ptp(unlabeled, axis=0) == 0] = 1  # a constant column tells nothing, and must not be divided by zero
        self.centre = torch.from_numpy(unlabeled.mean(axis=0, dtype=np.float64))
        self.spread = torch.from_numpy(spread)

    def preprocess(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((x - self.centre.numpy()) / self.spread.numpy()).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"centre": self.centre, "spread": self.spread}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.centre, self.spread = state_dict["centre"], state_dict["spread"]


def find_table(data_root: str, name: str) -> Path:
    """The file of a table, `cardio` or `Cardio` for `6_cardio.npz`.

    Raises:
        UserError: no folder, no table in it, or none of this name; the names found are listed.
    """

    def missing(folder: Path) -> list[str]:
        return [] if any(folder.glob("*.npz")) else [f"files such as 6_{name}.npz"]

    folder = locate(data_root, Source("adbench", missing, PAGE))
    tables = {re.sub(r"^\d+_", "", path.stem).lower(): path for path in sorted(folder.glob("*.npz"))}
    if name.lower() not in tables:
        close = difflib.get_close_matches(name.lower(), tables, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(f"data.name={name}: no such table in {folder}; {hint}It holds {', '.join(sorted(tables))}")
    return tables[name.lower()]


def read_table(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows (N, F) and labels (N,), 1 for an anomaly, of a table.

    Raises:
        UserError: an array is missing or has the wrong shape, a label is neither 0 nor 1, a value is NaN or infinite.
    """
    arrays = read_npz(path, str(path))
    if lacking := sorted({"X", "y"} - arrays.keys()):
        found = ", ".join(arrays) or "nothing"
        raise UserError(f"{path}: no array {' and '.join(lacking)} (it holds {found}); a table has X and y")
    x, y = arrays["X"], arrays["y"]
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise UserError(f"{path}: X has shape {x.shape} and y {y.shape}; must be (rows, columns) and (rows,)")
    labels = finite_float32(y, f"{path}, y")
    if wrong := sorted(set(labels.tolist()) - {0, 1}):
        raise UserError(f"{path}: y holds {wrong[0]:g}; must be 0 (normal) or 1 (anomaly)")
    return finite_float32(x, f"{path}, X"), labels.astype(np.int64)


def groups_by_size(x: NDArray[np.float32], num_groups: int) -> NDArray[np.int64]:
    """The k-means group of each row, numbered from the smallest; the same with any number of threads.

    Columns are standardised and cut off at one standard deviation: a few far-out rows would otherwise be groups of
    their own.
    """
    from sklearn.cluster import KMeans  # a second to import, which pictures do not need
    from threadpoolctl import threadpool_limits

    centre, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    standardised = np.divide(x - centre, spread, out=np.zeros(x.shape), where=np.ptp(x, axis=0) > 0)
    with threadpool_limits(1):
        group = KMeans(num_groups, n_init=10, random_state=0).fit_predict(standardised.clip(-1, 1))
    order = np.argsort(np.bincount(group, minlength=num_groups), kind="stable")
    return np.argsort(order)[group]


def _divide(rows: Index, rng: np.random.Generator) -> tuple[Index, Index]:
    shuffled = rng.permutation(rows)
    cut = int(TRAIN_SHARE * len(rows))
    return shuffled[:cut], shuffled[cut:]
