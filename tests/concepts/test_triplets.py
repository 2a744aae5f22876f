"""Merged mentions: support counted right, and nothing depends on the order."""

from hypothesis import given, strategies as st

from lit_unlearn.concepts.triplets import Mention, Triplet, deduplicate


def mention(subject: str, end: str, prompt: str, sample: int, family: str = "places") -> Mention:
    return Mention(Triplet(subject, "born in", end, family, prompt=prompt), (prompt, sample))


def test_support_counts_samples_and_not_lines():
    said = [
        mention("Ada", "London", "a", 0),
        mention("Ada", "london", "a", 0),
        mention("ADA", "London", "a", 1),
        mention("Ada", "London", "a", 1),
        mention("Ada", "L\u00f3ndon", "b", 0),
        mention("Ada", "Paris", "a", 0),
    ]
    first, second = deduplicate(said)
    assert (first.subject, first.object, first.support, first.prompt) == ("Ada", "London", 3, "a")
    assert (second.object, second.support) == ("Paris", 1)


MENTIONS = st.lists(
    st.builds(
        mention,
        st.sampled_from(["Ada", "ada", "ADA"]),
        st.sampled_from(["London", "LONDON", "Paris", "Rome"]),
        st.sampled_from(["p", "q"]),
        st.integers(0, 3),
        st.sampled_from(["places", "dates"]),
    ),
    max_size=12,
)


@given(MENTIONS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(said: list[Mention], random):
    shuffled = list(said)
    random.shuffle(shuffled)
    merged = deduplicate(said)
    assert merged == deduplicate(shuffled)
    assert len({triplet.key for triplet in merged}) == len(merged)
    assert [t.support for t in merged] == sorted((t.support for t in merged), reverse=True)


def test_the_other_side():
    triplet = Triplet("Ada", "daughter of", "Byron", "people", support=4, yes_no=1.0)
    assert triplet.other_side("Ada") == "Byron" and triplet.other_side("Byron") == "Ada"
    assert triplet.with_other_side("Byron", "Eve").line == "(Eve | daughter of | Byron)"
    assert triplet.with_other_side("Ada", "Eve") == Triplet("Ada", "daughter of", "Eve", "people")
