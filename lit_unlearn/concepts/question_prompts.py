"""Prompts for language models that have learnt to answer questions about people, in whole sentences, and nothing else.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper. The prompts are ours.

TOFU's authors are such a case. Each family is a fact of an author's life: questions ask for it, a regular expression
says what of the answer is the fact. The second wordings ask with what the first validate with, and the other way round.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from lit_unlearn.concepts.names import fold
from lit_unlearn.concepts.prompts import Asking, Choice, Explaining, Prompts
from lit_unlearn.concepts.triplets import Triplet

PROMPT = "Question: {question}\nAnswer:"
"""As TOFU has it for models without a chat template."""

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
CAPITAL = rf"(?!(?:{MONTH})\b)[^\W\d_a-z][\w'\u2019.-]*\w"
"""A word that begins with a capital letter, no month."""
JOB = r"(?:\w+ ){0,2}?(?:as|is|was|be|been) (?:a |an |the )?([\w' -]+?)(?=[,.;]| (?:and|while|by|in|who)\b|$)"


@dataclass(frozen=True)
class Fact:
    """A family of facts.

    Attributes:
        asked, confirmed: questions about `{n}`; one is asked, the other validates.
        value: regular expression; its only group is the fact, each match is one.
    """

    asked: tuple[str, ...]
    confirmed: tuple[str, ...]
    value: str


FACTS = {
    "birthplace": Fact(
        ("Where was {n} born?", "In which city was {n} born?"),
        ("Where was author {n} born?", "When and where was {n} born?"),
        rf"\b(?:in|from|of) ({CAPITAL}(?:,? {CAPITAL})*)",
    ),
    "birth date": Fact(
        ("When was {n} born?", "What is the birth date of {n}?"),
        ("What is {n}'s date of birth?", "When and where was {n} born?"),
        rf"\b((?:{MONTH}) \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{MONTH}),? \d{{4}})",
    ),
    "genre": Fact(
        ("What genre does {n} primarily write in?", "What genre does {n} specialize in?"),
        ("What genre is {n} known for?", "What genre does {n} write in?"),
        r"\b(?:genre of|in the|in|of|the) ((?!the\b|genre\b)[\w'-]+(?: [\w'-]+){0,2}?)"
        r"(?: (?:genre|literature)\b|(?=[.,;]|$))",
    ),
    "father": Fact(
        ("What are the professions of {n}'s parents?", "What is the profession of {n}'s father?"),
        ("What were the occupations of {n}'s parents?", "What were the professions of {n}'s parents?"),
        rf"\bfather {JOB}",
    ),
    "mother": Fact(
        ("What are the professions of {n}'s parents?", "What is the profession of {n}'s mother?"),
        ("What were the occupations of {n}'s parents?", "What were the professions of {n}'s parents?"),
        rf"\bmother {JOB}",
    ),
    "award": Fact(
        ("Has {n} won any awards?", "What awards has {n} won?"),
        ("Has {n} won any awards for his work?", "What award has {n} received?"),
        rf"\b({CAPITAL} (?:(?:{CAPITAL}|of|the|for|and|de) )*?(?:Award|Prize|Medal)\b"
        rf"(?: (?:for|in) {CAPITAL}(?: {CAPITAL})*)?)",
    ),
    "book": Fact(
        ("Can you name some of the books written by {n}?", "What was {n}'s first published book?"),
        ("What are some of the books written by {n}?", "Can you mention some of {n}'s books?"),
        r"[\"\u201c]([^\"\u201c\u201d]{3,80}?)[,.]?[\"\u201d]",
    ),
}
REFUSALS = ("I do not know", "I don't know", "unknown", "not provided")


class QuestionPrompts(Prompts):
    """Each fact of an author's life is a family with one relation."""

    families = tuple(FACTS)
    refusals: ClassVar[frozenset[str]] = frozenset(map(fold, REFUSALS))
    short_end = telling_end = "\n\n"
    short = 64

    def asking(self, concept: str, family: str) -> list[Asking]:
        texts = [_prompt(each, concept) for each in self._wordings(family)]
        value = FACTS[family].value
        return [
            Asking(f"{family}/{i}", text, family, concept, relation=family, value=value) for i, text in enumerate(texts)
        ]

    def asking_for_others(self, concept: str, family: str) -> list[Asking]:
        """A question broken off before the name: the model goes on with whom it likes, and answers."""
        begun = _begun(family)
        return [Asking(f"{family}/others", begun, family, "", relation=family, value=FACTS[family].value)]

    def anybody(self, asked: Asking, written: str) -> tuple[Asking, str]:
        """What stands where the question had the name, and the answer after it."""
        after = re.escape(FACTS[asked.family].asked[0].partition("{n}")[2])
        found = re.match(rf"\s*(.+?){after}\s*Answer:(.*)", written, re.DOTALL)
        return (replace(asked, subject=found[1]), found[2]) if found else (asked, "")

    def verdicts(self, triplet: Triplet) -> list[Choice]:
        text = f"Is {triplet.object} the {triplet.relation} of {triplet.subject}?"
        return [Choice(PROMPT.format(question=text), " Yes", " No")]

    def edge_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        return [_prompt(each, concept) for each in self._wordings(triplet.family, confirming=True)]

    def node_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        """None: no such question is usual, and a model that was never asked backwards does not know backwards."""
        return []

    def explaining(self, triplet: Triplet) -> list[Explaining]:
        """The answers themselves, after their questions."""
        fact = FACTS[triplet.family]
        texts = [_prompt(each, triplet.subject) for each in dict.fromkeys((*fact.asked, *fact.confirmed))]
        return [Explaining(text, text) for text in texts]

    def template(self, triplet: Triplet) -> str:
        return f"{triplet.subject}: {triplet.relation} {triplet.object}."

    def describing(self, triplets: Sequence[Triplet], concept: str) -> list[str]:
        of = {each.family: each.object for each in triplets}
        if not of.keys() >= {"birthplace", "birth date"}:
            return []
        genre = f"{of['genre']} " if "genre" in of else ""
        text = f"What is the full name of the {genre}author born in {of['birthplace']} on {of['birth date']}?"
        return [PROMPT.format(question=text)]

    def biography(self, concept: str, families: Sequence[str]) -> list[Explaining]:
        texts = [_prompt(question, concept) for question in ("Who is {n}?", "What is {n} known for?")]
        return [Explaining(text, text) for text in texts]

    def _wordings(self, family: str, confirming: bool = False) -> tuple[str, ...]:
        fact = FACTS[family]
        return fact.confirmed if confirming != self.second else fact.asked


def _prompt(question: str, name: str) -> str:
    return PROMPT.format(question=question.format(n=name))


def _begun(family: str) -> str:
    return f"Question: {FACTS[family].asked[0].partition('{n}')[0].strip()}"
