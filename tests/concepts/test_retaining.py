"""What must stay: what a model says of others, nobody of whom is the concept or is judged with."""

from dataclasses import replace

from lit_unlearn.concepts.retaining import WORDINGS, asked_about, others_of, retained
from lit_unlearn.concepts.triplets import Concept, Triplet
from tests.concepts.stub import NAME, OTHERS, PlainPrompts, Stub

SAID = tuple(Triplet(*key, family) for key, family in OTHERS.items())
CONCEPT = Concept(NAME, ("Countess",), (Triplet(NAME, "born in", "Oslo", "places"),), neighbour_triplets=SAID)


class Knows(Stub):
    """Answers clozes about others as well."""

    def _answer(self, prompt: str) -> str:
        kind, *parts = prompt.split(" | ")
        if kind == "object?":
            return ", ".join(o for s, r, o in OTHERS if [s, r] == parts)
        if kind == "subject?":
            return ", ".join(s for s, r, o in OTHERS if [r, o] == parts)
        if kind == "explain":
            return f"{' '.join(parts)}, whom the Countess knew."
        return super()._answer(prompt)


def test_others_are_neither_the_concept_nor_those_judged_with():
    assert {triplet.key for triplet in others_of([CONCEPT], [], [])} == {triplet.key for triplet in SAID}
    left = others_of([CONCEPT], [], ["nobody else"])
    assert {triplet.subject for triplet in left} == {"Someone Other"}
    about = (Triplet("Nobody Else", "knew", "the Countess", "places"), Triplet("Ada Lovelace", "knew", "X", "places"))
    assert others_of([replace(CONCEPT, neighbour_triplets=about)], [], []) == []


def test_each_is_said_once_whoever_named_it_first():
    again = [Triplet("NOBODY ELSE", "born in", "Oslo", "places")]
    other = replace(CONCEPT, name="Charles Babbage")
    found = others_of([CONCEPT, other], again, [])
    assert len(found) == len(SAID) and found == sorted(found, key=lambda triplet: triplet.key)


def test_one_concept_is_not_retained_for_another():
    other = replace(CONCEPT, name="Nobody Else", aliases=(), triplets=())
    assert {triplet.subject for triplet in others_of([CONCEPT, other], [], [])} == {"Someone Other"}


def test_answers_are_labelled_and_none_names_a_concept():
    found = retained(list(SAID), [CONCEPT], Knows(), PlainPrompts(), 0)
    edges = [view for view in found if view.text.startswith("object?")]
    assert {(view.entity, view.text[slice(*view.span)]) for view in edges} == {
        ("Nobody Else", "Oslo"), ("Nobody Else", "Bergen"), ("Someone Other", "A Long Letter, A Short Letter")
    }  # fmt: skip
    assert all(view.closed for view in edges)
    nodes = [view for view in found if view.text.startswith("subject?")]
    assert {view.text[slice(*view.span)] for view in nodes} == {"Someone Other"}
    assert not [view for view in found if "Countess" in view.text]  # explanations name an alias


def test_what_the_model_does_not_say_again_is_left_out():
    wrong = [Triplet("Nobody Else", "born in", "Paris", "places")]
    assert retained(wrong, [CONCEPT], Knows(), PlainPrompts(), 0) == []


def test_who_shares_an_object_is_asked_in_all_wordings():
    class Wordy(PlainPrompts):
        def edge_clozes(self, triplet, concept):
            return [f"object? | {triplet.subject} | {triplet.relation}" + " " * i for i in range(9)]

    class Says(Knows):
        def _answer(self, prompt):
            return super()._answer(prompt.strip())

    found = retained(list(SAID[:2]), [CONCEPT], Says(), Wordy(), 0)
    count = {end: sum(view.text[slice(*view.span)] == end for view in found) for end in ("Oslo", "Bergen")}
    assert count["Oslo"] == 9 and 1 <= count["Bergen"] <= WORDINGS
    namesake = replace(CONCEPT, name="Somebody Else")
    assert len(retained([SAID[1]], [namesake], Says(), Wordy(), 0)) == 9


def test_others_are_asked_about_in_all_families():
    stub = Stub()
    found = asked_about(["Ada Lovelace"], stub, PlainPrompts(), 16)
    assert {triplet.family for triplet in found} == {"places", "works"}
    assert {triplet.subject for triplet in found} == {"Ada Lovelace"}
    assert asked_about([], stub, PlainPrompts(), 16) == []
