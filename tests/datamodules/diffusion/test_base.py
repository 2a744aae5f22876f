"""The split: what goes where, nothing twice, a function of the seed."""

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.diffusion.digits import Digits
from lit_unlearn.errors import UserError
from tests.diffusion_data import Generated


def ready(**changed) -> Generated:
    data = Generated(**changed)
    data.setup()
    return data


def rows(*parts: Tensor) -> list[bytes]:
    return [picture.numpy().tobytes() for part in parts for picture in part]


def test_counts_and_contamination():
    data = ready()
    assert len(data.unlabeled.x) == 110 and int((data.unlabeled.y == 3).sum()) == 11
    assert data.realised == pytest.approx(0.1)
    assert data.labelled.y.unique().tolist() == [3] and len(data.labelled.x) == 20
    assert len(data.validation_normal.x) == 15  # a tenth of 150
    assert data.normal_classes == [0, 1, 2] and data.num_classes == 4
    assert data.input_shape == [1, 4, 4]


def test_the_test_is_normal_pictures_of_the_test_split():
    data, images = ready(), Generated().read()
    assert (data.test_normal.y != 3).all() and (data.test_sensitive.y == 3).all()
    assert len(data.test_normal.x) + len(data.test_sensitive.x) == len(images.test)
    expected = torch.from_numpy(images.test[0].astype(np.float32)) / 127.5 - 1
    torch.testing.assert_close(data.judge_test.x[0], expected)


def test_no_picture_is_in_two_places():
    data = ready()
    used = rows(data.unlabeled.x, data.labelled.x, data.validation_normal.x)
    assert len(set(used)) == len(used)
    assert set(used) <= set(rows(data.judge_train.x))
    assert not set(used) & set(rows(data.judge_test.x))


def test_the_seed_draws_the_split():
    one, two, other = ready(seed=1), ready(seed=1), ready(seed=2)
    assert torch.equal(one.unlabeled.x, two.unlabeled.x)
    assert rows(one.unlabeled.x) != rows(other.unlabeled.x)


def test_without_contamination_the_normal_pictures_are_the_same():
    """The oracle has the same normal pictures as the method it is compared with."""
    whole, clean = ready(), ready(contamination=0)
    assert clean.realised == 0 and len(clean.unlabeled.x) == 99
    assert rows(whole.unlabeled.x)[:99] == rows(clean.unlabeled.x)


def test_classes_by_name_and_labels_that_cover_some_of_them():
    data = ready(sensitive=["c", 3], covered=["c"], num_normal=50, num_labelled=5)
    assert data.sensitive_classes == [2, 3]
    assert data.labelled.y.unique().tolist() == [2]
    assert {2, 3} <= set(data.unlabeled.y.tolist())


def test_a_batch():
    data = ready()
    batch = next(iter(data.train_dataloader()))
    assert batch.unlabeled.shape[1:] == (1, 4, 4) and batch.unlabeled.dtype == torch.float32
    assert len(batch.unlabeled) == len(batch.unlabeled_class) == 37  # 110 in three batches
    assert batch.labelled_class.tolist() == [3] * 10
    assert -1 <= batch.unlabeled.min() < -0.2 and 0.2 < batch.unlabeled.max() <= 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sensitive": [4]}, r"data.sensitive=\[4\]: 4 is no such class; allowed: 0 \(a\), 1 \(b\), 2 \(c\), 3 \(d\)"),
        ({"sensitive": ["z"]}, r"data.sensitive=\['z'\]: 'z' is no such class"),
        ({"sensitive": []}, r"data.sensitive=\[\]: neither all classes nor none may be sensitive"),
        ({"sensitive": [0, 1, 2, 3]}, r"neither all classes nor none may be sensitive"),
        ({"covered": [1]}, r"data.covered=\[1\]: 1 is no such class; allowed: 3 \(d\)"),
        ({"covered": []}, r"data.covered=\[\]: neither all classes nor none"),
        ({"num_normal": 500}, r"data.num_normal=500: needs 500 normal pictures, the training split has 135 left"),
        ({"contamination": 0.5}, r"data.contamination=0.5: needs 99 sensitive pictures, the training split has 50"),
        ({"num_labelled": 45}, r"data.num_labelled=45: needs 45 covered sensitive pictures, .* has 39 left; give less"),
    ],
)
def test_what_the_data_do_not_have(changed: dict, message: str):
    with pytest.raises(UserError, match=message):
        ready(**changed)


def test_digits():
    data = Digits(sensitive=[1, 3, 5, 7, 9])
    data.setup()
    assert data.input_shape == [1, 8, 8] and set(data.test_normal.y.tolist()) == {0, 2, 4, 6, 8}
    assert data.realised == pytest.approx(1 / 11, abs=2e-3)
    assert data.unlabeled.x.min() == -1 and data.unlabeled.x.max() == 1
