"""scikit-learn's forest on tf-idf vectors."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import ensemble
from sklearn.feature_extraction.text import TfidfVectorizer

from tests.methods.logs.small_log import TEXTS, SmallLog, assert_checkpoint_keeps_scores, build, fit, scores


def test_is_scikit_learns_forest_on_lines_as_often_as_they_occur():
    data, method = SmallLog(), build("tfidf_isolation_forest")
    fit(method)
    lines = [data.texts[i] or "[empty]" for i in data.line[data.train]]  # a line without words has a word of its own
    vectorizer = TfidfVectorizer(analyzer=str.split, lowercase=False).fit(list(dict.fromkeys(lines)))
    # The forest takes the lines in another order, so that its trees are others: compare the means of many.
    forest = ensemble.IsolationForest(n_estimators=1000, max_samples=256, random_state=1)
    forest.fit(vectorizer.transform(lines).toarray())
    theirs = -forest.score_samples(vectorizer.transform([text or "[empty]" for text in TEXTS]).toarray())
    assert scores(method, TEXTS) == pytest.approx(theirs, abs=0.02)
    assert min(scores(method, TEXTS)[4:]) > max(scores(method, TEXTS)[:4]) + 0.1  # rare lines


def test_vectors_are_scikit_learns_of_the_most_frequent_words():
    method = build("tfidf_isolation_forest", max_words=3)
    text = ["a b c", "a b c d", "a b e", "a b"]
    method.tf_idf.fit(text)
    theirs = (
        TfidfVectorizer(analyzer=str.split, lowercase=False, vocabulary=["a", "b", "c"])
        .fit(text)
        .transform([*text, "d e"])
    )
    np.testing.assert_allclose(method.dense([*text, "d e"]).numpy(), theirs.toarray(), rtol=1e-6)


def test_no_more_lines_than_asked_for_and_the_same_each_time():
    few, again, all_lines = (build("tfidf_isolation_forest", max_lines=n) for n in (20, 20, 10_000))
    for method in (few, again, all_lines):
        fit(method)
    assert scores(few, TEXTS) == scores(again, TEXTS) != scores(all_lines, TEXTS)
    items = few.forest.normaliser.item(), all_lines.forest.normaliser.item()
    assert items[0] < items[1]  # c(20) and c(256)


def test_checkpoint(tmp_path: Path):
    assert_checkpoint_keeps_scores("tfidf_isolation_forest", tmp_path)
