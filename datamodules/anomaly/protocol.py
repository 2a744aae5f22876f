"""The positive-unlabeled protocol: who is unlabeled, labelled, held out for validation, and tested.

One class is normal, one class is an anomaly that training never meets (unseen), the others are anomalies that
training meets (seen). Source: Takahashi et al., arXiv 2405.18929, as known from secondary accounts; the proportions
of the test set and the make-up of the validation split are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.anomaly.batches import NORMAL, SEEN, UNSEEN
from lit_unlearn.errors import UserError

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Row numbers of the items a split may be drawn from, by kind. `unseen` is empty where it may not be used."""

    normal: Index
    seen: Index
    unseen: Index


@dataclass(frozen=True)
class Budget:
    """How many items a split takes.

    Attributes:
        num_normal: normal items among the unlabeled training items; None takes as many as there are, or as many as
            the seen anomalies suffice for.
        contamination: share of anomalies among the unlabeled items, in [0, 1).
        num_labelled: labelled anomalies in training; None takes as many as there are unlabeled ones.
        validation: held-out items for validation, as a share of each of the above, drawn on top of them.
        num_test: test items (half normal, a quarter seen, a quarter unseen); fewer where the data set has fewer.
    """

    num_normal: int | None
    contamination: float
    num_labelled: int | None
    validation: float
    num_test: int


@dataclass(frozen=True)
class Split:
    """Row numbers of each part. `unlabeled_kind` is the truth about the unlabeled items: for reports alone."""

    unlabeled: Index
    unlabeled_kind: Index
    labelled: Index
    validation_unlabeled: Index
    validation_labelled: Index
    test: Index
    test_kind: Index

    @property
    def contamination(self) -> float:
        """Realised share of anomalies among the unlabeled training items."""
        return float(np.mean(self.unlabeled_kind != NORMAL))


def split(train: Pool, test: Pool, budget: Budget, seed: int) -> Split:
    """Draws the parts without overlap; a function of its arguments alone.

    Raises:
        UserError: more items are asked for than there are, or no labelled anomaly would remain.
    """
    rng = np.random.default_rng(seed)
    normal, seen = rng.permutation(train.normal), rng.permutation(train.seen)
    num_normal = _most_normal(len(normal), len(seen), budget) if budget.num_normal is None else budget.num_normal
    num_hidden, num_labelled, held_out = _sizes(num_normal, budget)
    errors = []
    if num_labelled == 0:
        errors.append(
            "data.num_labelled=0: no labelled anomaly (positive) to learn from; give at least 1, "
            "or choose a method that needs none with data.num_labelled=1"
        )
    needed_normal = num_normal + held_out["normal"]
    if needed_normal > len(normal):
        errors.append(
            f"data.num_normal={num_normal}: with data.validation={budget.validation:g} this needs {needed_normal} "
            f"normal items and there are {len(normal)}; use at most {int(len(normal) / (1 + budget.validation))}"
        )
    needed_seen = num_hidden + num_labelled + held_out["hidden"] + held_out["labelled"]
    if needed_seen > len(seen):
        errors.append(
            f"data.contamination={budget.contamination:g} and data.num_labelled={num_labelled}: this needs "
            f"{needed_seen} seen anomalies ({num_hidden} unlabeled, {num_labelled} labelled, the rest for validation) "
            f"and there are {len(seen)}; lower data.contamination, data.num_labelled or data.num_normal"
        )
    if errors:
        raise UserError(errors)

    normal_parts = _take(normal, [num_normal, held_out["normal"]])
    seen_parts = _take(seen, [num_hidden, num_labelled, held_out["hidden"], held_out["labelled"]])
    unlabeled = np.concatenate([normal_parts[0], seen_parts[0]])
    unlabeled_kind = np.repeat([NORMAL, SEEN], [num_normal, num_hidden])
    order = rng.permutation(len(unlabeled))

    test_items, test_kind = _test_items(test, budget.num_test, rng)
    return Split(
        unlabeled=unlabeled[order],
        unlabeled_kind=unlabeled_kind[order],
        labelled=seen_parts[1],
        validation_unlabeled=np.concatenate([normal_parts[1], seen_parts[2]]),
        validation_labelled=seen_parts[3],
        test=test_items,
        test_kind=test_kind,
    )


def _sizes(num_normal: int, budget: Budget) -> tuple[int, int, dict[str, int]]:
    """Hidden anomalies, labelled anomalies, and what is held out of each kind."""
    num_hidden = round(num_normal * budget.contamination / (1 - budget.contamination))
    num_labelled = num_hidden if budget.num_labelled is None else budget.num_labelled
    sizes = {"normal": num_normal, "hidden": num_hidden, "labelled": num_labelled}
    held_out = {name: round(size * budget.validation) for name, size in sizes.items()}
    if budget.validation > 0:
        held_out["labelled"] = max(1, held_out["labelled"])
    return num_hidden, num_labelled, held_out


def _most_normal(normal: int, seen: int, budget: Budget) -> int:
    """The largest number of normal items that fits `normal` items and, with its anomalies, `seen` ones."""
    most = int(normal / (1 + budget.validation))
    for num_normal in range(most, 0, -1):
        num_hidden, num_labelled, held_out = _sizes(num_normal, budget)
        if num_labelled > 0 and num_hidden + num_labelled + held_out["hidden"] + held_out["labelled"] <= seen:
            return num_normal
    return most


def _take(items: Index, sizes: list[int]) -> list[Index]:
    return np.split(items, np.cumsum(sizes))[: len(sizes)]


def _test_items(pool: Pool, num_test: int, rng: np.random.Generator) -> tuple[Index, Index]:
    """Half normal, a quarter seen, a quarter unseen, all three shrunk alike where one of them is short."""
    groups = [rng.permutation(pool.normal), rng.permutation(pool.seen), rng.permutation(pool.unseen)]
    shares = np.array([0.5, 0.25, 0.25])
    total = min(num_test, *(int(len(group) / share) for group, share in zip(groups, shares, strict=True)))
    sizes = [int(total * share) for share in shares]
    items = np.concatenate([group[:size] for group, size in zip(groups, sizes, strict=True)])
    return items, np.repeat([NORMAL, SEEN, UNSEEN], sizes)
