"""One minus the highest cosine to a training line."""

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from lit_unlearn.methods.logs import tfidf_nearest
from tests.methods.logs.small_log import TEXTS, assert_checkpoint_keeps_scores, build, fit, scores


def test_value_by_hand():
    method = build("tfidf_nearest")
    method.fit_lines(["a b", "a c"], None)
    # n = 2; idf(a) = ln(3/3) + 1 = 1, idf(b) = idf(c) = ln(3/2) + 1 = r, idf of a new word = ln 3 + 1 = q.
    r, q = math.log(3 / 2) + 1, math.log(3) + 1
    known = math.sqrt(1 + r * r)
    lines = {
        "a b": 0.0,
        "b a": 0.0,
        "b": 1 - r / known,
        "b c": 1 - r * r / (math.sqrt(2) * r * known),
        "a b d": 1 - (1 + r * r) / (known * math.sqrt(1 + r * r + q * q)),
        "d": 1.0,
        "": 1.0,
    }
    assert scores(method, list(lines)) == pytest.approx(list(lines.values()), abs=1e-6)


def test_known_lines_score_exactly_zero():
    rng = np.random.default_rng(0)
    text = [" ".join(rng.choice(list("abcdefghij"), size)) for size in rng.integers(0, 30, 200)]
    method = build("tfidf_nearest")
    method.fit_lines(sorted(set(text)), None)
    assert scores(method, text) == [0] * len(text)


def test_agrees_with_scikit_learn_on_known_words(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(1)
    text = [" ".join(rng.choice(list("abcdefghij"), size)) for size in rng.integers(1, 9, 100)]
    train, test = sorted(set(text[:50])), text[50:]
    vectorizer = TfidfVectorizer(analyzer=str.split, lowercase=False).fit(train)
    cosine = vectorizer.transform(test) @ vectorizer.transform(train).T
    method = build("tfidf_nearest")
    method.fit_lines(train, None)
    expected = 1 - cosine.max(axis=1).toarray().ravel()
    assert expected.max() > 0.1
    assert scores(method, test) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(tfidf_nearest, "COMPARED", 7)  # in parts the last of which is short
    assert scores(method, test) == pytest.approx(expected, abs=1e-6)


def test_a_new_line_scores_by_how_far_it_is_from_known_ones():
    method = build("tfidf_nearest")
    fit(method)
    known, near, far = scores(method, [TEXTS[4], "login of user root", "kernel panic"])
    assert known == 0 < near < far == 1


def test_checkpoint(tmp_path: Path):
    assert_checkpoint_keeps_scores("tfidf_nearest", tmp_path)
