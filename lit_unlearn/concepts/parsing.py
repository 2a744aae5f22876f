"""What a model wrote, read as triplets: strictly, and never with an error.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

import re
from collections.abc import Iterator

from lit_unlearn.concepts.names import Names, fold, normalise, normalise_line
from lit_unlearn.concepts.prompts import Asking
from lit_unlearn.concepts.triplets import Rejected, Triplet

LONGEST_SIDE = 100
"""Characters of a subject, a relation or an object."""
SHOWN = 200
"""Characters of a line that was turned down."""

NOT_KNOWN = "the model says that it does not know"
NO_TRIPLET = "not of the form (subject | relation | object)"
EMPTY = "a part is empty"
TOO_LONG = f"a part is longer than {LONGEST_SIDE} characters"
SAME = "subject and object are the same"
FOREIGN = "neither side is the concept"
UNFINISHED = "cut off before its end"
NO_VALUE = "the answer holds no such fact"

LINE = re.compile(r"^\((?P<inside>[^()]*(?:\([^()]*\)[^()]*)*)\)[.,;]?$")


def read(written: str, asked: Asking, names: Names, refusals: frozenset[str]) -> Iterator[Triplet | Rejected]:
    """Every triplet and everything else in one answer.

    Args:
        written: any text.
        asked: the prompt it answers.
        names: of the concept; one side of every triplet that is returned is `names.name`.
        refusals: folded answers that mean that the model does not know.
    """
    for found in read_about_anybody(written, asked, refusals):
        yield _about(names, found) if isinstance(found, Triplet) else found


def read_about_anybody(written: str, asked: Asking, refusals: frozenset[str]) -> Iterator[Triplet | Rejected]:
    """The same without asking that the triplets name a concept."""
    if asked.relation is not None:
        answer = short_answer(written)
        values = [answer] if asked.value is None else [found[1] for found in re.finditer(asked.value, answer)]
        for value in values:
            line = f"{asked.subject} | {asked.relation} | {value}"
            yield _checked([asked.subject, asked.relation, normalise(value)], line, asked, refusals)
        if not values:
            yield Rejected(answer[:SHOWN], asked.family, NO_VALUE)
        return
    for raw in f"{asked.prefix}{written}".split("\n"):
        line = normalise_line(raw)
        if line:
            yield _line(line, asked, refusals)


def short_answer(written: str) -> str:
    """The first line of an answer without a full stop at its end."""
    lines = written.strip().split("\n")
    return normalise(normalise(lines[0]).removesuffix("."))


def _line(line: str, asked: Asking, refusals: frozenset[str]) -> Triplet | Rejected:
    if fold(line.removesuffix(".")) in refusals:
        return Rejected(line[:SHOWN], asked.family, NOT_KNOWN)
    if line.startswith("(") and not LINE.match(line) and line.count("|") <= 2:
        return Rejected(line[:SHOWN], asked.family, UNFINISHED)
    inside = LINE.match(line)
    parts = [normalise(part) for part in (inside["inside"] if inside else line).split("|")]
    if len(parts) != 3:
        return Rejected(line[:SHOWN], asked.family, NO_TRIPLET)
    return _checked(parts, line, asked, refusals)


def _checked(parts: list[str], line: str, asked: Asking, refusals: frozenset[str]) -> Triplet | Rejected:
    subject, relation, end = parts
    reason = None
    if fold(end) in refusals:
        reason = NOT_KNOWN
    elif not (fold(subject) and fold(relation) and fold(end)):
        reason = EMPTY
    elif max(map(len, parts)) > LONGEST_SIDE:
        reason = TOO_LONG
    elif fold(subject) == fold(end):
        reason = SAME
    if reason is not None:
        return Rejected(line[:SHOWN], asked.family, reason)
    relation = normalise(relation.replace("_", " ").lower())
    if not fold(relation):
        return Rejected(line[:SHOWN], asked.family, EMPTY)
    return Triplet(subject, relation, end, asked.family, prompt=asked.identifier)


def _about(names: Names, triplet: Triplet) -> Triplet | Rejected:
    """The triplet with the concept's name instead of an alias."""
    is_subject, is_object = names.mean(triplet.subject), names.mean(triplet.object)
    if is_subject and is_object:
        return Rejected(triplet.line[:SHOWN], triplet.family, SAME)
    if not (is_subject or is_object):
        return Rejected(triplet.line[:SHOWN], triplet.family, FOREIGN)
    subject, end = (names.name, triplet.object) if is_subject else (triplet.subject, names.name)
    return Triplet(subject, triplet.relation, end, triplet.family, prompt=triplet.prompt)
