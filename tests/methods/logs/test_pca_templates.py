"""The error outside the principal subspace of the templates."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from lit_unlearn.methods.logs.pca_templates import principal_components, squared_prediction_error
from tests.methods.logs.small_log import TEXTS, assert_checkpoint_keeps_scores, build, fit, scores


def test_components_are_scikit_learns_of_repeated_items():
    rng = np.random.default_rng(0)
    x, count = rng.normal(size=(12, 5)) * [5, 3, 1, 0.5, 0.1], rng.integers(1, 20, 12)
    theirs = PCA(0.95, svd_solver="full").fit(np.repeat(x, count, axis=0))
    mean, components = principal_components(x, count, 0.95)
    np.testing.assert_allclose(mean, theirs.mean_)
    np.testing.assert_allclose(np.abs(components @ theirs.components_.T), np.eye(len(theirs.components_)), atol=1e-9)
    restored = theirs.inverse_transform(theirs.transform(x))
    np.testing.assert_allclose(squared_prediction_error(x, mean, components), ((x - restored) ** 2).sum(1))


@pytest.mark.parametrize(("variance", "number"), [(0.5, 1), (0.9, 1), (0.91, 2), (1.0, 2)])
def test_as_few_components_as_have_the_variance(variance: float, number: int):
    x = np.array([[3.0, 0, 0], [-3, 0, 0], [0, 1, 0], [0, -1, 0]])  # 90 % of the variance along the first axis
    mean, components = principal_components(x, np.ones(4, np.int64), variance)
    assert len(components) == number
    error = squared_prediction_error(np.array([[7.0, 2, 5]]), mean, components)
    assert error == pytest.approx([5**2 + (2**2 if number == 1 else 0)])


def test_equal_items_vary_in_no_direction():
    mean, components = principal_components(np.ones((3, 2)), np.array([1, 2, 3]), 0.95)
    assert mean.tolist() == [1, 1] and len(components) == 0


def test_lines_of_a_template_score_alike_and_strange_ones_high():
    method = build("pca_templates")
    fit(method)
    anna, bert, carl, template = scores(method, [TEXTS[4], TEXTS[5], "login of user carl", "login of user <*>"])
    assert anna == bert == carl == template
    assert "login of user <*>" in method.templates.templates
    panic, frequent = scores(method, ["kernel panic", TEXTS[0]])
    assert panic > 1 > frequent  # panic is as far as its own words, which are new, and the mean: 1 + |m|^2 at most
    assert method.unlabeled_quantiles[0] == pytest.approx(min(scores(method, TEXTS)))


def test_checkpoint(tmp_path: Path):
    assert_checkpoint_keeps_scores("pca_templates", tmp_path)
