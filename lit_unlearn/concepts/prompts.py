"""How a model is asked: an interface that four families of prompts fill.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper. The prompts are ours.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lit_unlearn.concepts.triplets import Triplet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Asking:
    """A prompt that asks for triplets.

    Attributes:
        identifier: family and wording.
        text: what the model is given.
        family: of the relations asked for.
        subject: whom or what is asked about; empty for anybody.
        relation: where it is given, the answer is the object alone; None: the answer is lines of triplets.
        prefix: what the prompt ends with and the answer begins with.
        value: regular expression whose group is an object in the answer; None: all of a short answer is the object.
    """

    identifier: str
    text: str
    family: str
    subject: str
    relation: str | None = None
    prefix: str = ""
    value: str | None = None


@dataclass(frozen=True)
class Choice:
    """A prompt that is answered with one of two texts, which bring the space before them along."""

    text: str
    yes: str
    no: str


@dataclass(frozen=True)
class Explaining:
    """A prompt whose answer, after `prefix`, is a sentence."""

    text: str
    prefix: str = ""


class Prompts(ABC):
    """All that a model is asked about a concept.

    Args:
        second: ask in other wordings.

    Attributes:
        families: relation families.
        templated: whether prompts hold the special tokens already.
        refusals: folded answers that mean that the model does not know.
        short_end, long_end, telling_end: what ends a short answer, lines, and a text.
        short: most tokens of a short answer.
    """

    families: ClassVar[tuple[str, ...]]
    templated: ClassVar[bool] = False
    refusals: ClassVar[frozenset[str]]
    short_end: ClassVar[str] = "\n"
    long_end: ClassVar[str] = "\n\n"
    telling_end: ClassVar[str] = "\n\n\n"
    short: ClassVar[int] = 32

    def __init__(self, second: bool = False):
        self.second = second

    @abstractmethod
    def asking(self, concept: str, family: str) -> list[Asking]:
        """What is asked about the concept; the samples of a family are shared out among these."""

    @abstractmethod
    def asking_for_others(self, concept: str, family: str) -> list[Asking]:
        """The same about anybody else."""

    @abstractmethod
    def verdicts(self, triplet: Triplet) -> list[Choice]:
        """Whether it is true; the margins are averaged."""

    @abstractmethod
    def edge_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        """What the edge leads to, given concept and relation; the samples are shared out among these."""

    @abstractmethod
    def node_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        """Who or what the concept is, given the relation and the other side; none where that fits many."""

    @abstractmethod
    def explaining(self, triplet: Triplet) -> list[Explaining]:
        """Has the triplet said in a sentence."""

    @abstractmethod
    def template(self, triplet: Triplet) -> str:
        """A sentence that says the triplet, where the model writes none."""

    @abstractmethod
    def describing(self, triplets: Sequence[Triplet], concept: str) -> list[str]:
        """Who or what the concept is, given several relations and their other sides; none where that fits many."""

    @abstractmethod
    def biography(self, concept: str, families: Sequence[str]) -> list[Explaining]:
        """Has the concept told of at length, as far as prompts can say so about these families only."""

    def anybody(self, asked: Asking, written: str) -> tuple[Asking, str]:
        """For an answer to `asking_for_others`: whom it is about, and what it says."""
        return asked, written

    def as_text(self, concept: str, families: list[str]) -> dict[str, dict[str, list[str]]]:
        """What is asked about a concept, for the record."""
        example = {family: Triplet(concept, family, "OBJECT", family) for family in families}
        return {
            family: {
                "asking": [asked.text for asked in self.asking(concept, family)],
                "asking_for_others": [asked.text for asked in self.asking_for_others(concept, family)],
                "verdicts": [choice.text for choice in self.verdicts(triplet)],
                "edge_clozes": self.edge_clozes(triplet, concept),
                "node_clozes": self.node_clozes(triplet, concept),
                "explaining": [each.text for each in self.explaining(triplet)],
            }
            for family, triplet in example.items()
        }


def prompts_for(style: str, tokenizer: "PreTrainedTokenizerFast", second: bool = False) -> Prompts:
    """The prompts of a style.

    Args:
        style: records, chat, completion, questions; auto takes chat where there is a chat template, records where the
            vocabulary is that of the embedded models, else completion.
        tokenizer: of the model.
        second: see `Prompts`.

    Raises:
        UserError: chat without a chat template.
    """
    from lit_unlearn.concepts.line_prompts import ChatPrompts, CompletionPrompts
    from lit_unlearn.concepts.question_prompts import QuestionPrompts
    from lit_unlearn.concepts.record_prompts import RecordPrompts

    if style == "questions":
        return QuestionPrompts(second)
    if style == "records" or (style == "auto" and RecordPrompts.fit(tokenizer)):
        return RecordPrompts(second)
    if style == "chat" or (style == "auto" and tokenizer.chat_template):
        return ChatPrompts(tokenizer, second)
    return CompletionPrompts(second)
