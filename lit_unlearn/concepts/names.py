"""Text as a model writes it made comparable, and names found in it whatever their case and accents."""

import re
import unicodedata
from collections.abc import Sequence

LIST_MARKER = re.compile(r"^(?:[-*+>#\u2022\u2023\u2043\u2013\u2014\u00b7]+|\(?\d{1,3}[.):]|\(\d{1,3}\))\s+")
"""A bullet or a number before a line; a number must be followed by a space, so that dates and amounts stay."""

QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u300c\u300d\u300e\u300f"
JOINERS = "\u200c\u200d"
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts in which a word's end is not seen, or particles stand at it: names are found inside longer words there."""


def normalise(text: str) -> str:
    """Unicode NFKC, one space for any white space, no control characters, no quotes around. Idempotent."""
    while (changed := _normalised_once(text)) != text:
        text = changed
    return text


def _normalised_once(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    text = " ".join("".join(c for c in text if _is_writable(c)).split())
    return text.strip(QUOTES).strip()


def _is_writable(character: str) -> bool:
    """Whether XML and JSON can hold it and a reader sees it, or it joins letters."""
    kind = unicodedata.category(character)
    return character in JOINERS or character.isspace() or kind[0] != "C"


def normalise_line(line: str) -> str:
    """`normalise`, and no bullet or number before it. Idempotent."""
    line = normalise(line)
    while (changed := normalise(LIST_MARKER.sub("", line))) != line:
        line = changed
    return line


def fold(text: str) -> str:
    """Text without case, accents, and spaces around, for comparing."""
    return " ".join("".join(_folded(character) for character in text).split())


def _folded(character: str) -> str:
    """Characters that are equal up to case and accents give the same; accents by themselves give nothing."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Me", "Cf"))


class Names:
    """A concept's name and its aliases.

    Args:
        name: of the concept.
        aliases: others that mean it.
    """

    def __init__(self, name: str, aliases: Sequence[str] = ()):
        self.name, self.aliases = name, tuple(aliases)
        self.folded = sorted({fold(each) for each in (name, *aliases)} - {""}, key=lambda each: (-len(each), each))

    def mean(self, text: str) -> bool:
        """Whether the text is the name or an alias."""
        return fold(text) in self.folded

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where a name stands as whole words: characters [start, end), of overlapping ones the longest."""
        return _Folded(text).find(self.folded)

    def within(self, text: str) -> bool:
        """Whether the text holds the name or an alias as whole words."""
        return bool(self.spans(text))


class _Folded:
    """A folded text that knows which characters of the original its own came from."""

    def __init__(self, text: str):
        self.text = text
        units: list[str] = []
        self.starts: list[int] = []
        for i, character in enumerate(text):
            folded = _folded(character)
            if folded.isspace() and units and units[-1] == " ":
                continue
            units += " " if folded.isspace() else folded
            self.starts += [i] * (1 if folded.isspace() else len(folded))
        self.folded = "".join(units)
        self.starts.append(len(text))

    def find(self, names: Sequence[str]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for name in names:  # longest first
            at = self.folded.find(name)
            while at >= 0:
                end = at + len(name)
                span = self.starts[at], self.starts[end]
                free = all(span[1] <= a or span[0] >= b for a, b in found)
                if free and self._whole(at, end) and self._a_word(at, end):
                    found.append(span)
                at = self.folded.find(name, at + 1)
        return sorted(found)

    def _whole(self, at: int, end: int) -> bool:
        """That no character of the original is cut, such as a ligature."""
        return (at == 0 or self.starts[at - 1] != self.starts[at]) and self.starts[end - 1] != self.starts[end]

    def _a_word(self, at: int, end: int) -> bool:
        before = at == 0 or not _one_word(self.folded[at - 1], self.folded[at])
        return before and (end == len(self.folded) or not _one_word(self.folded[end - 1], self.folded[end]))


def _one_word(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    if not (left.isalnum() and right.isalnum()):
        return False
    return not any(unicodedata.name(c, "").startswith(WITHOUT_SPACES) for c in (left, right))
