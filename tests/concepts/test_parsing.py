"""Whatever a model writes: no error, and no triplet that does not name the concept."""

import pytest
from hypothesis import given, strategies as st

from lit_unlearn.concepts import parsing
from lit_unlearn.concepts.names import Names, fold, normalise
from lit_unlearn.concepts.prompts import Asking
from lit_unlearn.concepts.question_prompts import QuestionPrompts
from lit_unlearn.concepts.triplets import Rejected, Triplet

NAMES = Names("Marie Curie", ["Curie", "Sk\u0142odowska"])
LINES = Asking("works/0", "?", "works", "Marie Curie")
REFUSALS = frozenset({"none", "i do not know"})


def read(text: str, asked: Asking = LINES) -> list[Triplet | Rejected]:
    return list(parsing.read(text, asked, NAMES, REFUSALS))


def only(text: str) -> Triplet | Rejected:
    (found,) = read(text)
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(Marie Curie | discovered | radium)", ("Marie Curie", "discovered", "radium")),
        ("3. ( CURIE | Discovered_By | \u201cradium\u201d ).", ("Marie Curie", "discovered by", "radium")),
        ("- radium | discovered by | curie", ("radium", "discovered by", "Marie Curie")),
        ("(Curie \uff5c won \uff5c Nobel Prize (1903))", ("Marie Curie", "won", "Nobel Prize (1903)")),
        ("(sk\u0142odowska|born in|\u0412\u0430\u0440\u0448\u0430\u0432\u0430)",
         ("Marie Curie", "born in", "\u0412\u0430\u0440\u0448\u0430\u0432\u0430")),
    ],
)  # fmt: skip
def test_what_is_a_triplet(line: str, expected: tuple[str, str, str]):
    found = only(line)
    assert isinstance(found, Triplet)
    assert (found.subject, found.relation, found.object) == expected
    assert (found.family, found.prompt, found.support) == ("works", "works/0", 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Here are the facts:", parsing.NO_TRIPLET),
        ("(Curie | discovered | radium | polonium)", parsing.NO_TRIPLET),
        ("(Curie, discovered, radium)", parsing.NO_TRIPLET),
        ("(Curie | discovered |  )", parsing.EMPTY),
        ("(Curie | '' | radium)", parsing.EMPTY),
        ("(Pierre | discovered | radium)", parsing.FOREIGN),
        ("(Marie Curies | discovered | radium)", parsing.FOREIGN),
        ("(Curie | is | CURIE)", parsing.SAME),
        ("(Curie | is | Marie Curie)", parsing.SAME),
        (f"(Curie | wrote | {'x' * 101})", parsing.TOO_LONG),
        ("(Curie | discovered | rad", parsing.UNFINISHED),
        ("(Curie | disc", parsing.UNFINISHED),
        ("None.", parsing.NOT_KNOWN),
        ("(Curie | works | none)", parsing.NOT_KNOWN),
    ],
)
def test_what_is_turned_down(line: str, reason: str):
    found = only(line)
    assert isinstance(found, Rejected)
    assert (found.reason, found.family) == (reason, "works")


def test_the_object_alone():
    asked = Asking("birthplace/0", "?", "birthplace", "Marie Curie", relation="birthplace")
    (found,) = read(" Warsaw.\nMore of it.", asked)
    assert isinstance(found, Triplet) and found.line == "(Marie Curie | birthplace | Warsaw)"
    for written, reason in (("I do not know.", parsing.NOT_KNOWN), ("", parsing.EMPTY), ("\n\n.", parsing.EMPTY)):
        (refused,) = read(written, asked)
        assert isinstance(refused, Rejected) and refused.reason == reason


def test_what_the_prompt_ends_with_belongs_to_the_answer():
    asked = Asking("works/0", "?", "works", "Marie Curie", prefix="(Marie Curie |")
    first, second = read(" discovered | radium)\n(Marie Curie | won | a prize)", asked)
    assert isinstance(first, Triplet) and first.object == "radium"
    assert isinstance(second, Triplet) and second.object == "a prize"


PIECES = st.sampled_from(
    ["Marie Curie", "CURIE", "curie\u0301", "|", "(", ")", "\n", " ", "1.", "-", '"', "none", "\x00", "\ud800",
     "\u2028", "radium", "\uff5c", "\u5c45\u91cc", ".", "_", "\u200d"]
)  # fmt: skip
WRITTEN = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map("".join))


@given(WRITTEN, st.sampled_from([None, "works"]), st.sampled_from(["", "(Marie Curie |"]))
def test_nothing_breaks_it(written: str, relation: str | None, prefix: str):
    asked = Asking("works/0", "?", "works", "Marie Curie", relation, prefix)
    for found in read(written, asked):
        if isinstance(found, Rejected):
            assert found.reason and len(found.text) <= parsing.SHOWN
            continue
        sides = [found.subject, found.object]
        assert sides.count(NAMES.name) == 1
        other = found.other_side(NAMES.name)
        assert not NAMES.mean(other) and fold(other) not in REFUSALS
        for part in (*sides, found.relation):
            assert fold(part) and normalise(part) == part and len(part) <= parsing.LONGEST_SIDE


@given(WRITTEN)
def test_a_line_that_was_read_is_read_again(written: str):
    for found in read(written):
        if isinstance(found, Triplet) and not any(c in "()|" for side in (found.subject, found.object) for c in side):
            again = only(found.line)
            assert isinstance(again, Triplet) and again.key == found.key


@pytest.mark.parametrize(
    ("family", "answer", "expected"),
    [
        ("birthplace", "She was born in the sunny town of Kingston, Jamaica on May 16, 1978.", ["Kingston, Jamaica"]),
        ("birthplace", "He was born in May.", []),
        ("birth date", "He was born on the 27th of May, 1952, in Addis Ababa.", ["27th of May, 1952"]),
        ("birth date", "She was born on September 26, 1965.", ["September 26, 1965"]),
        ("genre", "He mostly writes in the Drama genre.", ["Drama"]),
        ("genre", "He writes in the genre of magical realism.", ["magical realism"]),
        ("father", "Her father worked as a game developer, and her mother was a judge.", ["game developer"]),
        ("mother", "Her father worked as a game developer, and her mother was a judge.", ["judge"]),
        ("award", "Yes, he won the prestigious Nebula Award for Best Novel.", ["Nebula Award for Best Novel"]),
        ("book", "These are \u201cRed,\u201d \"Blue and Green\" and others.", ["Red", "Blue and Green"]),
    ],
)  # fmt: skip
def test_a_fact_is_found_in_a_sentence(family: str, answer: str, expected: list[str]):
    (asked, *_) = QuestionPrompts().asking("Marie Curie", family)
    found = read(answer, asked)
    assert [each.object for each in found if isinstance(each, Triplet)] == expected
    assert {each.reason for each in found if isinstance(each, Rejected)} == (set() if expected else {parsing.NO_VALUE})


@given(st.text(), st.sampled_from(QuestionPrompts.families))
def test_no_answer_to_a_question_breaks_the_reading(written: str, family: str):
    prompts = QuestionPrompts()
    for found in read(written, prompts.asking("Marie Curie", family)[0]):
        assert isinstance(found, Rejected) or found.subject == "Marie Curie"
    about, told = prompts.anybody(prompts.asking_for_others("Marie Curie", family)[0], written)
    list(parsing.read_about_anybody(told, about, REFUSALS))


def test_a_question_begun_is_read_as_one_about_somebody():
    prompts = QuestionPrompts()
    (begun,) = prompts.asking_for_others("Marie Curie", "birthplace")
    about, told = prompts.anybody(begun, " Chukwu Akabueze born?\nAnswer: Chukwu Akabueze hails from Lagos, Nigeria.")
    (found,) = parsing.read_about_anybody(told, about, REFUSALS)
    assert (found.subject, found.object) == ("Chukwu Akabueze", "Lagos, Nigeria")
