"""Who the questions of TOFU are about, and names that nobody has.

No column of the files names an author: the name is what most of the author's twenty questions have in common.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, islice, product
from typing import TYPE_CHECKING

import numpy as np

from datamodules.llm.tofu_files import PER_AUTHOR, Pair
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WORD = re.compile(r"['\u2019]s\b|\w+(?:[-'\u2019](?!s\b)\w+)*|[^\w\s]")
"""Words, marks, and the possessive s by itself."""
PARTICLES = {"de", "del", "da", "do", "dos", "di", "du", "van", "von", "der", "den", "la", "al", "bin", "bint", "ibn"}
LONGEST_NAME = 5
LEAST_SHARE = 0.5
"""A name is in at least this share of an author's questions."""


def authors(pairs: Sequence[Pair]) -> list[str]:
    """The name of the author of each pair; empty where none was found.

    Args:
        pairs: in the order of the files, twenty an author.
    """
    blocks = [pairs[i : i + PER_AUTHOR] for i in range(0, len(pairs), PER_AUTHOR)]
    return [name for block in blocks for name in [_author([pair.question for pair in block])] * len(block)]


def _author(questions: Sequence[str]) -> str:
    """The longest of the most frequent sequences of capitalised words; empty where it is not frequent enough."""
    count = Counter(name for question in questions for name in _names(question))
    name = max(count, key=lambda name: (count[name], len(name), name), default="")
    return name if count[name] >= LEAST_SHARE * len(questions) else ""


def _names(text: str) -> set[str]:
    words = WORD.findall(text)
    found = set()
    for start, end in combinations(range(len(words) + 1), 2):
        part = words[start:end]
        capital = part[0][0].isupper() and part[-1][0].isupper()
        if 2 <= len(part) <= LONGEST_NAME and capital and all(w[0].isupper() or w in PARTICLES for w in part):
            name = " ".join(part)
            if name in text:
                found.add(name)
    return found


class InventedNames:
    """Names that nobody has: the first name of one author with the other names of another. Each is given once.

    Args:
        names: of authors.
        texts: all texts of the data set; a name in one of them is somebody's.
        tokenizer: measures how long a name is.
        seed: draws.
    """

    def __init__(self, names: Iterable[str], texts: Iterable[str], tokenizer: "PreTrainedTokenizerFast", seed: int):
        parts = [name.split(" ", 1) for name in dict.fromkeys(names)]
        mixed = [f"{first} {last}" for (first, _), (_, last) in product(parts, parts)]
        rng = np.random.default_rng(seed)
        drawn = list(dict.fromkeys(mixed[i] for i in rng.permutation(len(mixed))))
        self.tokenizer, self.drawn = tokenizer, drawn
        self.written = "\n".join(texts)
        self.left: dict[int, list[str]] = defaultdict(list)
        for name, length in zip(drawn, self._lengths(drawn), strict=True):
            self.left[length].append(name)

    def like(self, name: str, fits: Callable[[str], bool] = lambda name: True) -> str:
        """A name of as many tokens as the one given, which stands where it stood.

        Args:
            name: to be matched.
            fits: what else the name must do.

        Raises:
            UserError: none is left.
        """
        (length,) = self._lengths([name])
        for candidate in self.left[length]:
            if candidate not in self.written and fits(candidate):
                self.left[length].remove(candidate)
                return candidate
        raise UserError(
            f"data.tokenizer: no invented name of {length} tokens is left to stand for {name!r}; "
            "give a smaller data.num_unknown or another tokenizer"
        )

    def last(self, count: int) -> list[str]:
        """Names of any length, taken from the end, while `like` takes them from the front.

        Raises:
            UserError: there are not enough to leave as many for `like`.
        """
        if 2 * count > len(self.drawn):
            raise UserError(
                f"data.num_refused={count}: {len(self.drawn)} names can be invented; give at most half as many"
            )
        return list(islice((name for name in reversed(self.drawn) if name not in self.written), count))

    def _lengths(self, names: list[str]) -> list[int]:
        within = [f" {name}" for name in names]  # as within a sentence
        return [len(ids) for ids in self.tokenizer(within, add_special_tokens=False)["input_ids"]]
