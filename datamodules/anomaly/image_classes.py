"""Anomaly data from a labelled image data set: one class is normal, one is unseen, the others are seen."""

from abc import abstractmethod
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from datamodules.anomaly.base import AnomalyDataModule, Items
from datamodules.anomaly.protocol import Index, Pool
from datamodules.images import Images, Labels
from lit_unlearn.errors import UserError

ClassNumber = Annotated[int, Field(ge=0, le=9)]


class ImageClasses(AnomalyDataModule):
    """Pictures in [0, 1]; normal, seen and unseen by class; training and test items from the official split.

    The defaults are the paper's: 4500 normal and 250 anomalous unlabeled pictures, 250 labelled anomalies, tested on
    2000 of the test pictures (fewer where the normal class has fewer than 1000 of them).

    Args:
        normal_class: number of the normal class.
        unseen_class: number of the class of anomalies that training never meets.
        num_normal, num_labelled, protocol: see `AnomalyDataModule`.

    Raises:
        UserError: `normal_class` and `unseen_class` are the same.
    """

    def __init__(
        self,
        normal_class: ClassNumber = 0,
        unseen_class: ClassNumber = 9,
        num_normal: Annotated[int, Field(ge=1)] | None = 4500,
        num_labelled: Annotated[int, Field(ge=0)] | None = 250,
        **protocol,
    ):
        if normal_class == unseen_class:
            raise UserError(
                f"data.unseen_class={unseen_class}: is the normal class too (data.normal_class={normal_class}); "
                "choose two different classes of 0 to 9"
            )
        super().__init__(num_normal=num_normal, num_labelled=num_labelled, **protocol)
        self.normal_class, self.unseen_class = normal_class, unseen_class

    @abstractmethod
    def read(self) -> Images:
        """Reads the data set.

        Raises:
            UserError: the data are absent, damaged or not what their name says.
        """

    def load(self) -> Items:
        images = self.read()
        num_train = len(images.train)

        def pictures(rows: Index) -> NDArray[np.float32]:
            in_train = rows < num_train
            first, second = images.train[rows[in_train]], images.test[rows[~in_train] - num_train]
            both = np.empty((len(rows), *first.shape[1:]), np.float32)
            both[in_train], both[~in_train] = first, second
            both /= images.white
            return both

        train, test = self.pool(images.train_labels), self.pool(images.test_labels)
        nothing = np.empty(0, np.int64)
        return Items(
            x=pictures,
            train=Pool(train.normal, train.seen, unseen=nothing),
            test=Pool(test.normal + num_train, test.seen + num_train, test.unseen + num_train),
        )

    def pool(self, labels: Labels) -> Pool:
        """Row numbers of each kind."""
        normal, unseen = labels == self.normal_class, labels == self.unseen_class
        return Pool(np.flatnonzero(normal), np.flatnonzero(~(normal | unseen)), np.flatnonzero(unseen))
