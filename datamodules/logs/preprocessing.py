"""Log messages without what varies from line to line: numbers, addresses, dates and paths become placeholders.

LogELECTRA (Yamanaka et al. 2024) lowers the case, removes stop words and replaces structured fields by regular
expressions, which it does not print: the expressions here are ours. They decide how much a detector can see. With all
of them, lines that differ in digits only are one; with `["DATE", "IP", "PATH"]` numbers stay.
"""

import re
from collections.abc import Sequence

from datamodules.logs.batches import SPECIAL
from lit_unlearn.errors import UserError

PLACEHOLDERS = ["[DATE]", "[IP]", "[PATH]", "[HEX]", "[NUM]"]
"""What stands for a replaced field, one token each."""

_RESERVED = re.compile("|".join(map(re.escape, SPECIAL + PLACEHOLDERS)))
"""What a log must not be able to say: a line that reads [PAD] would hide that part of itself."""

_NAMES = [placeholder.strip("[]") for placeholder in PLACEHOLDERS]

# A field is looked for at every character of a log, so the expressions are kept by the class of their first character,
# which rules most of them out at once; each says what follows it. Of those that fit at one place the first wins.
_FRESH = r"(?<![0-9A-Za-z].)"  # the first character does not go on with a word
_END = r"(?![0-9A-Za-z])"
_X = r"[0-9A-Fa-f]"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?"
_ZONE = r"(?:[Zz]|\ ?[-+][0-9]{2}:?[0-9]{2}|\ (?:[A-Z]{1,4}T|[a-z]{1,4}t|UTC|utc))"
_IN_PATH = r"[^\s:;,()<>\[\]{}\"'|=*?]"
_HEX_FIELDS = [
    # hardware addresses of 6 bytes and more: 00:1a:2b:3c:4d:5e
    ("IP", rf"{_X}(?P<_%s>[:-])(?:{_X}{{2}}(?P=_%s)){{4,}}{_X}{{2}}{_END}"),
    # IP version 6: eight groups, or fewer with one ::, and a digit in it, for std::bad is no address
    ("IP", rf"{_X}{{0,3}}:(?:{_X}{{1,4}}:){{6}}{_X}{{1,4}}{_END}"),
    (
        "IP",
        rf"(?:(?<=[0-9])|(?=[A-Fa-f:]*[0-9])){_X}{{0,3}}(?::{_X}{{1,4}}){{0,6}}::"
        rf"(?:{_X}{{1,4}}(?::{_X}{{1,4}}){{0,6}}{_END}|(?![0-9A-Za-z:]))",
    ),
    ("HEX", rf"{_X}{{7}}(?:-{_X}{{4}}){{3}}-{_X}{{12}}{_END}"),
]
_FIELDS: dict[str, list[tuple[str, str]]] = {
    rf"[0-9]{_FRESH}": [
        # 2005-06-03-15.42.50.363779   2005-06-03T15:42:50,12Z   2005/06/03 15:42:50 +0200   2005.06.03
        (
            "DATE",
            r"[0-9]{3}(?P<_date>[-/.])[0-9]{2}(?P=_date)[0-9]{2}"
            rf"(?:-[0-9]{{2}}\.[0-9]{{2}}\.[0-9]{{2}}(?:\.[0-9]+)?|[Tt\ ]{_CLOCK}{_ZONE}?)?{_END}",
        ),
        # 09/Nov/2005:12:01:01 +0100, as web servers write it
        ("DATE", rf"[0-9]/[A-Za-z]{{3}}/[0-9]{{4}}:{_CLOCK}{_ZONE}?{_END}"),
        ("DATE", rf"[0-9]?:[0-9]{{2}}:[0-9]{{2}}(?:[.,][0-9]+)?{_ZONE}?(?![0-9A-Za-z:])"),
        ("IP", r"[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?::[0-9]+|/[0-9]{1,2})?(?![0-9]|\.[0-9])"),
        *((name, field.replace("%s", "digit")) for name, field in _HEX_FIELDS),
        ("HEX", rf"(?<=0)[xX]{_X}+{_END}"),
        # registers and addresses, filled up with zeros: 00106570 is of the kind of 0245a2a0
        ("HEX", rf"(?<=0){_X}{{7,}}{_END}"),
        ("HEX", rf"[0-9]*[A-Fa-f]{_X}*{_END}(?![-+.][0-9])"),  # not 1e-05
    ],
    rf"[A-Za-z]{_FRESH}": [
        # Tue Sep 27 12:34:56 PDT 2005   Nov  9 12:01:01   Wed, 09 Nov 2005 12:01:01 +0100
        (
            "DATE",
            rf"[A-Za-z]{{2}}(?:\ [A-Za-z]{{3}})?\ {{1,2}}[0-9]{{1,2}}\ {_CLOCK}{_ZONE}?(?:\ [0-9]{{4}})?{_END}",
        ),
        ("DATE", rf"[A-Za-z]{{2}},\ [0-9]{{1,2}}\ [A-Za-z]{{3}}\ [0-9]{{4}}\ {_CLOCK}{_ZONE}?{_END}"),
        *((name, "(?<=[A-Fa-f])" + field.replace("%s", "letter")) for name, field in _HEX_FIELDS),
        # six and more with a digit, or eight letters: words that are no hexadecimal number are shorter
        ("HEX", rf"(?<=[A-Fa-f])(?:(?=[A-Fa-f]*[0-9]){_X}{{5,}}|[A-Fa-f]{{7,}}){_END}"),
        ("PATH", r"[A-Za-z0-9+]*://[^\s\"'<>()\[\]]*[^\s\"'<>()\[\].,;:]"),
        ("PATH", rf":\\{_IN_PATH}+"),
    ],
    r"[0-9]": [("NUM", r"[0-9]*(?:[.,][0-9]+)*(?:[Ee][-+][0-9]+)?")],
    r"[-+]": [("NUM", r"(?<![0-9A-Za-z)\]].)[0-9]+(?:[.,][0-9]+)*(?:[Ee][-+][0-9]+)?")],
    r"/": [
        ("IP", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?(?![0-9]|[./][0-9A-Za-z])"),  # Java: host/10.0.0.1:80
        ("PATH", rf"(?<![0-9A-Za-z_.~\])/-].){_IN_PATH}*[^\s:;,()<>\[\]{{}}\"'|=*?.]"),
    ],
    r"[.~]": [
        ("PATH", rf"(?<![0-9A-Za-z_.~\])/-].)(?:\.|[A-Za-z0-9_]*)/{_IN_PATH}*[^\s:;,()<>\[\]{{}}\"'|=*?.]"),
    ],
    r"\\": [("PATH", rf"(?<![0-9A-Za-z\\].)\\{_IN_PATH}+")],
    r":": [
        (
            "IP",
            rf"(?<![0-9A-Za-z:].)(?=[A-Fa-f:]*[0-9]):{_X}{{1,4}}(?::{_X}{{1,4}}){{0,6}}(?:\.[0-9]{{1,3}}){{,3}}{_END}",
        )
    ],
}


class Preprocessor:
    """Maps a message to the words a detector sees: lower case, placeholders, no stop words, single spaces.

    A placeholder is a word by itself, in upper case: `ciod7` becomes `ciod [NUM]`.

    Args:
        lower: make lower case.
        placeholders: the fields replaced, of DATE, IP, PATH, HEX and NUM; [] replaces none, None all.
        stop_words: words left out, spelt as they are after the replacement.

    Attributes:
        pattern: finds all fields; the name of the last matched group says which one it is, before its `_`. None: none.

    Raises:
        UserError: `placeholders` has an unknown name.
    """

    def __init__(
        self,
        lower: bool = True,
        placeholders: Sequence[str] | None = None,
        stop_words: Sequence[str] | None = None,
    ):
        placeholders = _NAMES if placeholders is None else placeholders
        if unknown := [name for name in placeholders if name not in _NAMES]:
            raise UserError(f"data.placeholders: no placeholder is named {unknown[0]!r}; allowed: {', '.join(_NAMES)}")
        self.lower = lower
        self.stop_words = frozenset(stop_words or ())
        self.pattern = _compiled(placeholders) if placeholders else None

    def __call__(self, message: str) -> str:
        message = message.lower() if self.lower else _RESERVED.sub(lambda name: name[0].lower(), message)
        if self.pattern is not None:
            message = self.pattern.sub(_placeholder, message)
        words = message.split()
        if self.stop_words:
            words = [word for word in words if word not in self.stop_words]
        return " ".join(words)


def _compiled(names: Sequence[str]) -> re.Pattern[str]:
    """One expression of all fields; an empty group at the end of each tells which it was."""
    starts: list[str] = []
    for first, fields in _FIELDS.items():
        chosen = [(name, field) for name, field in fields if name in names]
        ends = [f"{field}(?P<{name}_{len(starts)}_{i}>)" for i, (name, field) in enumerate(chosen)]
        if ends:
            starts.append(f"{first}(?:{'|'.join(ends)})")
    return re.compile("|".join(starts), re.ASCII)


def _placeholder(match: re.Match[str]) -> str:
    return f" [{match.lastgroup.partition('_')[0]}] "  # type: ignore[union-attr]  # every field ends with a group
