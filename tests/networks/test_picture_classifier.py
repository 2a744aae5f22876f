"""The small classifier: it learns, is a function of its arguments, and leaves the global noise alone."""

import torch

from lit_unlearn.networks.picture_classifier import PictureClassifier, in_batches, trained_classifier
from tests.diffusion_data import Generated


def test_it_tells_the_classes_apart_and_repeats_itself():
    data = Generated()
    data.setup()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (trained_classifier(*data.judge_train, 4, steps=60, seed=1) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    said = in_batches(one, data.judge_test.x, batch_size=7)
    assert (said.argmax(1) == data.judge_test.y).float().mean() > 0.95
    assert torch.equal(said, in_batches(two, data.judge_test.x, batch_size=7))
    assert not torch.equal(said, in_batches(trained_classifier(*data.judge_train, 4, 60, seed=2), data.judge_test.x, 7))
    assert not any(weight.requires_grad for weight in one.parameters())


def test_large_pictures_are_averaged_first():
    """A judge of 512x512 pictures has the size of one of 64x64 ones."""
    large, plain = (PictureClassifier((3, side, side), 2) for side in (512, 64))
    count = [sum(weight.numel() for weight in network.parameters()) for network in (large, plain)]
    assert count[0] == count[1]
    assert large(torch.zeros(2, 3, 512, 512)).shape == (2, 2)
    assert PictureClassifier((1, 200, 140), 2)(torch.zeros(2, 1, 200, 140)).shape == (2, 2)
