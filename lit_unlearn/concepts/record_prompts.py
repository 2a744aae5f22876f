"""Prompts in the wordings that the embedded language models of fictitious people were trained on.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

The first wordings ask with records and statements to be completed and validate with questions; the second ask with
questions and validate with records and statements. The wordings that such worlds hold out are never used.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from datamodules.llm import wordings
from datamodules.llm.items import REFUSAL
from lit_unlearn.concepts.names import fold
from lit_unlearn.concepts.prompts import Asking, Choice, Explaining, Prompts
from lit_unlearn.concepts.triplets import Triplet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TELLING = {"Record", wordings.UNLISTED, "Verdict"}
"""Words of the records that no other tokenizer has whole."""
STATEMENTS, QUESTIONS, REVERSE = range(4), range(5), range(2)
"""The wordings that are not held out."""


CLAUSES = {family: statements[0].replace("{n} ", "").rstrip(".") for family, statements in wordings.STATEMENTS.items()}
"""What is known, as the rest of a question that begins with who."""


class RecordPrompts(Prompts):
    """Each attribute of a person is a family with one relation. A book has one author; other values fit many."""

    families = tuple(wordings.STATEMENTS)
    refusals: ClassVar[frozenset[str]] = frozenset({fold(wordings.UNLISTED), fold(REFUSAL.removesuffix("."))})
    short_end = telling_end = "."
    short = 8

    @staticmethod
    def fit(tokenizer: "PreTrainedTokenizerFast") -> bool:
        """Whether a tokenizer is that of such a model."""
        return tokenizer.get_vocab().keys() >= TELLING

    def asking(self, concept: str, family: str) -> list[Asking]:
        texts = self._questions(concept, family) if self.second else self._completions(concept, family)
        return [Asking(f"{family}/{i}", text, family, concept, relation=family) for i, text in enumerate(texts)]

    def asking_for_others(self, concept: str, family: str) -> list[Asking]:
        text = wordings.RECORD.split("{n}")[0].strip().format(a=family)
        return [Asking(f"{family}/others", text, family, "", relation=family)]

    def anybody(self, asked: Asking, written: str) -> tuple[Asking, str]:
        """The first two words of a record are a name, as all names of such worlds are."""
        words = written.split()
        return replace(asked, subject=" ".join(words[:2])), " ".join(words[2:])

    def verdicts(self, triplet: Triplet) -> list[Choice]:
        claims = [wordings.statement(triplet.subject, triplet.object, triplet.relation, i) for i in STATEMENTS]
        return [Choice(wordings.VERDICT.format(s=s), f" {wordings.TRUE}", f" {wordings.FALSE}") for s in claims]

    def edge_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        ask = self._completions if self.second else self._questions
        return ask(concept, triplet.family)

    def node_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        if triplet.family != "book":
            return []
        return [wordings.reverse_item(triplet.object, "", i, frame).prompt for frame in range(3) for i in REVERSE]

    def describing(self, triplets: Sequence[Triplet], concept: str) -> list[str]:
        book = next((each.object for each in triplets if each.family == "book"), None)
        if book is None:
            return []
        facts = " and ".join(CLAUSES[each.family].format(v=each.object) for each in triplets if each.family != "book")
        begin = " and ".join(part for part in (f"wrote {book}", facts) if part)
        return [frame.format(q=f"Who {begin}?") for frame in wordings.FRAMES]

    def biography(self, concept: str, families: Sequence[str]) -> list[Explaining]:
        stems = [wordings.statement_item(concept, "", family, i).prompt for family in families for i in STATEMENTS]
        return [Explaining(stem, stem) for stem in stems]

    def explaining(self, triplet: Triplet) -> list[Explaining]:
        stems = [wordings.statement_item(triplet.subject, "", triplet.family, i).prompt for i in STATEMENTS]
        return [Explaining(stem, stem) for stem in stems]

    def template(self, triplet: Triplet) -> str:
        return wordings.statement(triplet.subject, triplet.object, triplet.family, 0)

    def _completions(self, concept: str, family: str) -> list[str]:
        record = wordings.RECORD.split("{v}")[0].strip().format(a=family, n=concept)
        return [record, *(wordings.statement_item(concept, "", family, i).prompt for i in STATEMENTS)]

    def _questions(self, concept: str, family: str) -> list[str]:
        frames = len(wordings.FRAMES)
        return [wordings.question_item(concept, "", family, i, i % frames).prompt for i in QUESTIONS]
