"""tf-idf vectors with new words."""

import math

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from lit_unlearn.networks.tf_idf import TfIdf

TEXT = ["a b b c", "a c", "d a", "c [NUM]"]


def fitted(text: list[str], max_words: int | None = None) -> TfIdf:
    tf_idf = TfIdf(max_words)
    tf_idf.fit(text)
    return tf_idf


def test_known_words_are_scikit_learns():
    tf_idf, asked = fitted(TEXT), [*TEXT, "b b d"]
    theirs = TfidfVectorizer(analyzer=str.split, lowercase=False, vocabulary=tf_idf.column).fit(TEXT)
    x, new = tf_idf(asked)
    assert x.toarray() == pytest.approx(theirs.transform(asked).toarray(), rel=1e-12)
    assert not new.any()


def test_new_words_take_their_share_of_the_length():
    x, new = fitted(["a", "a"])(["a x", "x y", "a", "a x x y"])
    q = math.log(3) + 1  # idf of a new word; idf(a) is 1
    one, three = math.sqrt(1 + q**2), math.sqrt(1 + (2 * q) ** 2 + q**2)
    assert x.toarray()[:, 0] == pytest.approx([1 / one, 0, 1, 1 / three])
    assert new == pytest.approx([q / one, 1, 0, math.sqrt(5) * q / three])


def test_an_empty_line_is_like_empty_lines_only():
    x, new = fitted(["a", ""])(["", "  ", "a"])
    assert (x @ x.T).toarray().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert not new.any()
    assert fitted(["a"])([""])[1].tolist() == [1]


def test_the_words_in_most_lines_are_kept():
    tf_idf = fitted(TEXT, max_words=2)
    assert list(tf_idf.column) == ["a", "c"]
    x, new = tf_idf(["b d", "a b", "a x", "c"])
    assert x.toarray()[[0, 3]].tolist() == [[0, 0], [0, 1]] and new[[0, 3]].tolist() == [1, 0]
    assert x.toarray()[1].tolist() == x.toarray()[2].tolist() and new[1] == new[2]


def test_state():
    asked = ["a b x", "d d", ""]
    for tf_idf in (fitted(TEXT), fitted(TEXT, 2)):
        again = TfIdf()
        again.load_state_dict(tf_idf.state_dict())
        for ours, theirs in zip(tf_idf(asked), again(asked), strict=True):
            assert abs(ours - theirs).sum() == 0
