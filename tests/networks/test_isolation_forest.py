"""The forest as tensors against scikit-learn's own scores, and its equations by hand."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest

from lit_unlearn.networks.isolation_forest import IsolationForestScore, mean_path_length


def test_mean_path_length_by_hand():
    # c(3) = 2 (ln 2 + 0.5772156649) - 4/3, c(256) = 2 (ln 255 + 0.5772156649) - 2 * 255 / 256
    lengths = mean_path_length(np.array([0, 1, 2, 3, 256]))
    np.testing.assert_allclose(lengths, [0, 0, 1, 1.2073923577, 10.2447709146], rtol=1e-9)


@pytest.mark.parametrize(("num_items", "num_features", "max_samples"), [(400, 64, 256), (50, 3, 256), (90, 2, 10)])
def test_scores_are_those_of_scikit_learn(num_items: int, num_features: int, max_samples: int):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_items, num_features)).astype(np.float32)
    x[:, 0] = x[:, 0].round()  # ties: items that no cut can separate
    forest = IsolationForestScore(20, max_samples)
    forest.grow(torch.from_numpy(x), seed=3)
    theirs = IsolationForest(n_estimators=20, max_samples=min(max_samples, num_items), random_state=3).fit(x)
    far = np.concatenate([x, 10 * x])
    np.testing.assert_allclose(forest(torch.from_numpy(far)).numpy(), -theirs.score_samples(far), rtol=1e-12)


def test_pictures_are_flattened_and_another_seed_grows_another_forest():
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    forests = [IsolationForestScore(5, 16) for _ in range(3)]
    for forest, seed in zip(forests, (0, 0, 1), strict=True):
        forest.grow(x, seed)
    first, same, other = (forest(x) for forest in forests)
    assert first.shape == (40,) and torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(first, forests[0](x.flatten(1)))


def test_score_by_hand():
    """One tree that cuts at 0.5: one item to the left of it, two to the right that are not told apart (c = 1)."""
    forest = IsolationForestScore(num_trees=1, max_samples=2)
    with torch.no_grad():
        forest.threshold[0, 0] = 0.5
        forest.left[0], forest.right[0] = torch.tensor([1, 1, 2]), torch.tensor([2, 1, 2])
        forest.unresolved[0, 2] = 1.0
    scores = forest(torch.tensor([[0.2], [0.5], [0.7]]))  # an item on the cut goes left
    assert scores.tolist() == [0.5, 0.5, 0.25]  # 2^-1 and 2^-(1 + 1)
