"""Which lines of a log are trained on, held out, known as anomalous and tested; a function of the seed alone."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import derived_seed


class Split(NamedTuple):
    """Line numbers of each part, rising; no line is in two.

    Attributes:
        train: unlabeled lines to train on.
        validation: held out, drawn like them.
        labelled: alerts known as such.
        test: all lines of the test part, whatever they are.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    labelled: NDArray[np.int64]
    test: NDArray[np.int64]


def split_lines(
    tag: NDArray[np.int64],
    split: str,
    train_share: float,
    validation: float,
    contamination: float | None,
    num_labelled: int,
    seed: int,
) -> Split:
    """Draws the parts.

    Args:
        tag: (N,) 0 for a normal line, else an alert.
        split: `chronological`: the training part is the beginning of the log; `random`: it is drawn from all of it.
        train_share: share of the lines in the training part.
        validation: share of the unlabeled lines of the training part that is held out.
        contamination: share of alerts among the unlabeled lines; None for normal lines only.
        num_labelled: alerts of the training part that are labelled; they are drawn first.
        seed: of every draw.

    Raises:
        UserError: the training part has too few alerts, or a part is empty.
    """
    rng = np.random.default_rng(derived_seed("log lines", seed))
    num_train = round(train_share * len(tag))
    order = np.arange(len(tag)) if split == "chronological" else rng.permutation(len(tag))
    training, test = np.sort(order[:num_train]), np.sort(order[num_train:])
    normal, alerts = training[tag[training] == 0], rng.permutation(training[tag[training] > 0])
    num_mixed = 0 if contamination is None else round(contamination / (1 - contamination) * len(normal))
    if num_labelled + num_mixed > len(alerts):
        asked = [f"num_labelled={num_labelled}"] + ([f"contamination={contamination}"] if num_mixed else [])
        raise UserError(
            f"data.{' data.'.join(asked)}: {num_labelled + num_mixed} alerts asked for, the training part has "
            f"{len(alerts)}; ask for fewer"
        )
    unlabeled = rng.permutation(np.concatenate([normal, alerts[num_labelled : num_labelled + num_mixed]]))
    num_held_out = round(validation * len(unlabeled))
    parts = Split(*map(np.sort, (unlabeled[num_held_out:], unlabeled[:num_held_out], alerts[:num_labelled], test)))
    empty = [name for name in ("train", "validation", "test") if len(getattr(parts, name)) == 0]
    if empty:
        raise UserError(
            f"data: no line for {', '.join(empty)} ({len(tag)} lines, {len(normal)} normal ones in the training part); "
            "give a longer log, or change data.train_share or data.validation"
        )
    return parts
