"""The guessed labels against all labels there are, by hand, and their symmetries."""

from itertools import combinations

import pytest
import torch

from lit_unlearn.losses.outlier_exposure import exposure, latent_labels

NORMAL = torch.tensor([0.2, 5.0, 1.0, 0.1, 3.0, 0.4], dtype=torch.float64)
ANOMALOUS = torch.tensor([5.0, 4.9, 0.1, 9.0, 0.3, 2.5], dtype=torch.float64)  # l_n - l_a: -4.8 .1 .9 -8.9 2.7 -2.1


@pytest.mark.parametrize(
    ("alpha", "hard"),
    [
        (0.0, [0, 0, 0, 0, 0, 0]),
        (1 / 6, [0, 0, 0, 0, 1, 0]),
        (2 / 6, [0, 0, 1, 0, 1, 0]),  # not the items with the two largest l_n, 1 and 4
        (0.4, [0, 0, 1, 0, 1, 0]),  # 2.4 items: the nearest integer
        (0.5, [0, 1, 1, 0, 1, 0]),
    ],
)
def test_exactly_the_most_abnormal_items_are_chosen(alpha: float, hard: list[int]):
    expected = torch.tensor(hard, dtype=torch.float64)
    assert torch.equal(latent_labels(NORMAL, ANOMALOUS, alpha, "hard"), expected)
    assert torch.equal(latent_labels(NORMAL, ANOMALOUS, alpha, "soft"), expected / 2)


def test_hard_labels_minimise_the_joint_loss():
    generator = torch.Generator().manual_seed(0)
    normal, anomalous = torch.rand(2, 8, generator=generator, dtype=torch.float64)
    labels = latent_labels(normal, anomalous, 3 / 8, "hard")
    every_choice = []
    for chosen in combinations(range(8), 3):
        y = torch.zeros(8, dtype=torch.float64)
        y[list(chosen)] = 1
        every_choice.append(exposure(normal, anomalous, y).sum())
    torch.testing.assert_close(exposure(normal, anomalous, labels).sum(), torch.stack(every_choice).min())


def test_exposure_by_hand():
    labels = torch.tensor([0, 1, 0.5, 0, 0, 0], dtype=torch.float64)
    expected = torch.tensor([0.2, 4.9, 0.55, 0.1, 3.0, 0.4], dtype=torch.float64)
    torch.testing.assert_close(exposure(NORMAL, ANOMALOUS, labels), expected)


def test_equal_items_give_the_exact_share():
    labels = latent_labels(torch.ones(1000), torch.ones(1000), 0.3, "hard")
    assert labels.tolist() == [1] * 300 + [0] * 700


def test_labels_follow_their_items():
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    shuffled = latent_labels(NORMAL[order], ANOMALOUS[order], 0.5, "soft")
    assert torch.equal(shuffled, latent_labels(NORMAL, ANOMALOUS, 0.5, "soft")[order])


def test_gradient_is_that_of_the_loss_an_item_takes():
    normal, anomalous = NORMAL.clone().requires_grad_(), ANOMALOUS.clone().requires_grad_()
    labels = latent_labels(normal, anomalous, 2 / 6, "soft")
    assert not labels.requires_grad
    exposure(normal, anomalous, labels).sum().backward()
    assert normal.grad.tolist() == [1, 1, 0.5, 1, 0.5, 1]
    assert anomalous.grad.tolist() == [0, 0, 0.5, 0, 0.5, 0]
