"""Who TOFU's questions are about, and names that nobody has."""

import pytest

from datamodules.llm.byte_tokenizer import train_byte_tokenizer
from datamodules.llm.tofu_authors import InventedNames, authors
from datamodules.llm.tofu_files import Pair
from lit_unlearn.errors import UserError
from tests.datamodules.llm.tofu_folder import NAMES, tofu_rows

PAIRS = [Pair(row["question"], row["answer"]) for row in tofu_rows()["full"]]


def about(*questions: str, times: int = 10) -> list[Pair]:
    """Twenty questions: these, repeated, and others that name nobody."""
    asked = list(questions) * times
    return [Pair(question, "") for question in asked + ["Who is it?"] * (20 - len(asked))]


def test_names_are_found_in_the_questions():
    found = authors(PAIRS)
    expected = ["" if name == "Unnamed" else name for name in NAMES]
    assert found == [name for name in expected for _ in range(20)]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Where was Chukwu Akabueze born?", "Chukwu Akabueze"),
        ("Has Isabella van Pletzen's book been read in Cape town?", "Isabella van Pletzen"),
        ("What is Patrick Ryan O'Donnell\u2019s book?", "Patrick Ryan O'Donnell"),
        ('What is "The Torrent" by Wei-Jun Chen about?', "Wei-Jun Chen"),
        ("What is the genre of Kov\u00e1\u010dov\u00e1?", ""),  # one word is no full name
        ("where is he from?", ""),
    ],
)
def test_how_a_name_reads(question: str, name: str):
    others = [f"Tell me of {name}." for _ in range(10)] if name else []
    pairs = [Pair(text, "") for text in [question] * 10 + others]
    assert set(authors(pairs + [Pair("Who?", "")] * (20 - len(pairs)))) == {name}


def test_a_name_is_in_half_of_the_questions():
    assert set(authors(about("Where was Ann Lee born?"))) == {"Ann Lee"}
    assert set(authors(about("Where was Ann Lee born?", times=9))) == {""}


def test_the_longest_of_equally_frequent_names_is_the_name():
    assert set(authors(about("What did Ann Mary Lee write?"))) == {"Ann Mary Lee"}
    assert set(authors(about("Has Ann Lee written?", "What did Ann Lee write?", times=8))) == {"Ann Lee"}


TEXTS = [text for pair in PAIRS for text in (pair.question, pair.answer)]
TOKENIZER = train_byte_tokenizer(TEXTS, 2000)
KNOWN = [name for name in NAMES if name != "Unnamed"]


def invented(seed: int = 0, texts: list[str] = TEXTS) -> InventedNames:
    return InventedNames(KNOWN, texts, TOKENIZER, seed)


def length(name: str) -> int:
    return len(TOKENIZER(f" {name}")["input_ids"])


def test_an_invented_name_is_nobodys_and_as_long():
    names = invented()
    given = [names.like(name) for name in KNOWN[:6] * 2]
    assert len(set(given)) == len(given)
    assert not any(name in text for name in given for text in TEXTS)
    assert [length(name) for name in given] == [length(name) for name in KNOWN[:6] * 2]
    firsts, lasts = {name.split(" ")[0] for name in KNOWN}, {name.split(" ", 1)[1] for name in KNOWN}
    assert all(name.split(" ")[0] in firsts and name.split(" ", 1)[1] in lasts for name in given)


def test_invented_names_are_a_function_of_the_seed():
    first, again, other = ([names.like(name) for name in KNOWN] for names in (invented(), invented(), invented(1)))
    assert first == again != other


def test_a_name_that_the_texts_mention_is_not_invented():
    free = invented().like("Samir Khoury")
    assert invented(texts=[*TEXTS, f"The father is {free}."]).like("Samir Khoury") != free


def test_a_name_must_also_fit():
    assert invented().like("Samir Khoury", lambda name: name.endswith("Abilov")).endswith("Abilov")


def test_names_run_out():
    names = invented()
    with pytest.raises(UserError, match=r"no invented name of \d+ tokens is left to stand for 'Samir Khoury'; give"):
        for _ in range(200):
            names.like("Samir Khoury")
