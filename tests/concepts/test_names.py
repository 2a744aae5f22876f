"""Names are found whatever their case and accents, as whole words, and nothing is cut."""

import json
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, strategies as st

from lit_unlearn.concepts.names import Names, fold, normalise, normalise_line

TEXTS = st.text(max_size=60)
BARS = st.text(alphabet="(|) \"'-*1.aAeE\u0301\u00e9\u00df\ufb01\u201c\u300c\u200d\u0130\u1e9e\u2460\n", max_size=40)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("  \u201cMarie\u00a0 Curie\u201d ", "Marie Curie"),
        ("\uff2d\uff43\uff0f", "Mc/"),
        ("'\"x\"'", "x"),
        ("1984", "1984"),
        ("a\x00b\ud800c\ufffe", "abc"),
    ],
)
def test_normalised(given_text: str, expected: str):
    assert normalise(given_text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1. (a | b | c)", "(a | b | c)"),
        ("12) x", "x"),
        ("(3) x", "x"),
        ("- * \u2022 x", "x"),
        ("1. FC", "FC"),
        ("3.14 is", "3.14 is"),
        ("1984", "1984"),
    ],
)
def test_a_line_without_its_marker(line: str, expected: str):
    assert normalise_line(line) == expected


@given(st.one_of(TEXTS, BARS))
def test_normalisation_is_idempotent_and_can_be_written(text: str):
    for function in (normalise, normalise_line):
        once = function(text)
        assert function(once) == once
        assert json.loads(json.dumps(once, ensure_ascii=False).encode()) == once
        escaped = once.replace("&", "&amp;").replace("<", "&lt;")
        assert (ElementTree.fromstring(f"<a>{escaped}</a>").text or "") == once


@pytest.mark.parametrize(
    ("names", "text", "found"),
    [
        (["Curie"], "MARIE CURIE and curies", ["CURIE"]),
        (["Jose"], "Jos\u00e9, Jose\u0301 and Joseph", ["Jos\u00e9", "Jose\u0301"]),
        (["Marie Curie", "Curie"], "Marie  Curie, Curie", ["Marie  Curie", "Curie"]),
        (["Strasse"], "stra\u00dfe", ["stra\u00dfe"]),
        (["s"], "\u00df", []),
        (["1"], "\u00bd a cup, 1 cup", ["1"]),
        (["Lee"], "Ashlee", []),
        (["\u6771\u4eac"], "\u6771\u4eac\u306b", ["\u6771\u4eac"]),
        (["Ann-Lee"], "(ann-lee)", ["ann-lee"]),
        (["Lee"], "L\u00adee", ["L\u00adee"]),
    ],
)
def test_found_in_a_text(names: list[str], text: str, found: list[str]):
    assert [text[a:b] for a, b in Names(names[0], names[1:]).spans(text)] == found
    assert Names(names[0], names[1:]).within(text) == bool(found)


def test_an_alias_means_the_concept():
    names = Names("Marie Curie", ["Maria Sk\u0142odowska"])
    assert names.mean(" marie  CURIE") and names.mean("maria sk\u0142odowska")
    assert not names.mean("Marie Curies") and not names.mean("Curie") and not names.mean("")


@given(st.text(max_size=30), st.text(min_size=1, max_size=6), st.text(max_size=30))
def test_spans_are_the_name(before: str, name: str, after: str):
    names = Names(name)
    for text in (f"{before} {name} {after}", before + name + after):
        spans = names.spans(text)
        for a, b in spans:
            assert 0 <= a < b <= len(text)
            assert fold(text[a:b]) in names.folded
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
