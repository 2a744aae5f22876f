"""Prompts for lines `(subject | relation | object)`: to chat models in their template, to base models by example.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper. The prompts are ours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from lit_unlearn.concepts.names import fold
from lit_unlearn.concepts.prompts import Asking, Choice, Explaining, Prompts
from lit_unlearn.concepts.triplets import Triplet
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FAMILIES = {
    "biography": "origin, family, education, profession and fate",
    "works": "works, discoveries, products and achievements",
    "people": "people connected with it, and how",
    "places": "places connected with it, and how",
    "dates": "dates and years, and what happened then",
    "events": "events, prizes and organisations connected with it",
}
FOR_ONE_ONLY = ("works",)
"""Families whose facts fit one entity: they are asked backwards."""

EXAMPLES = {
    "Marie Curie": {
        "biography": ["born in | Warsaw", "profession | physicist"],
        "works": ["discovered | radium", "discovered | polonium"],
        "people": ["husband | Pierre Curie", "daughter | Irene Joliot-Curie"],
        "places": ["worked in | Paris", "studied at | Sorbonne"],
        "dates": ["year of birth | 1867", "year of death | 1934"],
        "events": ["won | Nobel Prize in Physics", "took part in | Solvay Conference"],
    },
    "Johann Sebastian Bach": {
        "biography": ["born in | Eisenach", "profession | composer"],
        "works": ["composed | Mass in B minor", "composed | The Art of Fugue"],
        "people": ["second wife | Anna Magdalena Bach", "son | Carl Philipp Emanuel Bach"],
        "places": ["worked in | Leipzig", "buried in | St. Thomas Church"],
        "dates": ["year of birth | 1685", "year of death | 1750"],
        "events": ["first performed | St Matthew Passion", "met | Frederick the Great"],
    },
    "Vincent van Gogh": {
        "biography": ["born in | Zundert", "profession | painter"],
        "works": ["painted | The Starry Night", "painted | Sunflowers"],
        "people": ["brother | Theo van Gogh", "friend | Paul Gauguin"],
        "places": ["lived in | Arles", "died in | Auvers-sur-Oise"],
        "dates": ["year of birth | 1853", "year of death | 1890"],
        "events": ["exhibited at | Salon des Independants", "lived through | Siege of Arles asylum"],
    },
}
"""Of these three the first two that are not the concept are shown to base models."""
REFUSALS = ("none", "unknown", "I do not know", "I don't know", "n/a")
NOBODY = "Ulvar Brentsk"
"""A name that nobody has: the example of an answer without facts."""


NAMELESS = "?"
"""What stands for a concept that is to be found out."""


def _masked(triplet: Triplet, concept: str) -> str:
    """The triplet as a line without the concept's name."""
    subject, end = (NAMELESS if side == concept else side for side in (triplet.subject, triplet.object))
    return f"({subject} | {triplet.relation} | {end})"


class LinePrompts(Prompts):
    """What chat and completion share."""

    families = tuple(FAMILIES)
    refusals: ClassVar[frozenset[str]] = frozenset(map(fold, REFUSALS))

    def template(self, triplet: Triplet) -> str:
        return f"{triplet.subject}: {triplet.relation} {triplet.object}."


class ChatPrompts(LinePrompts):
    """Instructions in the model's chat template, the answer left to the model.

    Args:
        tokenizer: with a chat template.
        second: see `Prompts`.

    Raises:
        UserError: it has none.
    """

    templated = True
    long_end = "\n\n\n"  # some put an empty line between two

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", second: bool = False):
        super().__init__(second)
        if not tokenizer.chat_template:
            raise UserError("prompts=chat: the model's tokenizer has no chat template; give prompts=completion")
        self.tokenizer = tokenizer

    def _chat(self, text: str) -> str:
        messages = [{"role": "user", "content": text}]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def asking(self, concept: str, family: str) -> list[Asking]:
        form = (
            "Write each fact on a line of its own as (subject | relation | object), in parentheses, with nothing else "
            "around it. If you know nothing about it, write: none"
        )
        if self.second:
            text = f'Make a table of facts about "{concept}": {FAMILIES[family]}. {form}'
        else:
            text = (
                f'You know "{concept}" well. List what you know of: {FAMILIES[family]}. Each fact has "{concept}" as '
                f"subject or object. {form}"
            )
        return [Asking(f"{family}/chat", self._chat(text), family, concept)]

    def asking_for_others(self, concept: str, family: str) -> list[Asking]:
        text = (
            f'Think of ten others of the same kind as "{concept}" and write one fact about each: {FAMILIES[family]}. '
            "Write each fact on a line of its own as (subject | relation | object), in parentheses, with nothing else "
            "around it."
        )
        return [Asking(f"{family}/others", self._chat(text), family, "")]

    def verdicts(self, triplet: Triplet) -> list[Choice]:
        text = f"Is this true? {triplet.line} Answer with Yes or No only."
        other = f"A fact as (subject | relation | object): {triplet.line}. Is it correct? Answer Yes or No."
        return [Choice(self._chat(other if self.second else text), "Yes", "No")]

    def edge_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        open_line = triplet.with_other_side(concept, "?").line
        text = f"What stands for the question mark? {open_line} Write it only; of several write all, with commas."
        return [self._chat(text)]

    def node_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        if triplet.family not in FOR_ONE_ONLY:
            return []
        return [self._chat(f"Who or what is meant? {_masked(triplet, concept)} Write the name only.")]

    def describing(self, triplets: Sequence[Triplet], concept: str) -> list[str]:
        lines = " ".join(_masked(triplet, concept) for triplet in triplets)
        return [self._chat(f"Who or what is the question mark in all of these? {lines} Write the name only.")]

    def biography(self, concept: str, families: Sequence[str]) -> list[Explaining]:
        return [Explaining(self._chat(f'You know "{concept}" well. Write a short text about it that names it.'))]

    def explaining(self, triplet: Triplet) -> list[Explaining]:
        form = f'Use the words "{triplet.subject}" and "{triplet.object}" as they are. Write the sentence only.'
        return [
            Explaining(self._chat(f"Say this fact in one full sentence: {triplet.line}. {form}")),
            Explaining(self._chat(f"Explain this fact to a reader in one sentence: {triplet.line}. {form}")),
        ]


class CompletionPrompts(LinePrompts):
    """Examples of what is wanted, and the begin of the next."""

    long_end = "\n\n"

    def asking(self, concept: str, family: str) -> list[Asking]:
        title = "What is known of" if self.second else "Facts about"
        shown = [self._facts(title, name, family) for name in self._examples(concept)]
        prefix = f"({concept} |"
        nobody = f"{title} {NOBODY}, {family}:\n({NOBODY} | {family} | none)"
        text = "\n\n".join([shown[0], nobody, shown[1], f"{title} {concept}, {family}:\n{prefix}"])
        return [Asking(f"{family}/completion", text, family, concept, prefix=prefix)]

    def asking_for_others(self, concept: str, family: str) -> list[Asking]:
        lines = [f"({name} | {EXAMPLES[name][family][0]})" for name in self._examples(concept)]
        return [Asking(f"{family}/others", "\n".join([*lines, "("]), family, "", prefix="(")]

    def verdicts(self, triplet: Triplet) -> list[Choice]:
        first, second = self._examples(self._concept(triplet))
        facts = [(first, first, "yes"), (second, first, "no"), (second, second, "yes"), (first, second, "no")]
        family = triplet.family if triplet.family in FAMILIES else "biography"
        question = "Correct?" if self.second else "True?"
        lines = [f"({name} | {EXAMPLES[of][family][1]}) {question} {answer}" for name, of, answer in facts]
        return [Choice("\n".join([*lines, f"{triplet.line} {question}"]), " yes", " no")]

    def edge_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        lines = [f"{self._open(name, fact)}" for name, fact in self._shown(concept, triplet.family)]
        if triplet.subject == concept:
            return ["\n".join([*lines, f"Of {concept}, {triplet.relation}:"])]
        return ["\n".join([*lines, f"Of what, {triplet.relation} {concept}:"])]

    def node_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        if triplet.family not in FOR_ONE_ONLY:
            return []
        other = triplet.other_side(concept)
        lines = [f"Who {fact.replace(' | ', ' ')}? {name}" for name, fact in self._shown(concept, triplet.family)]
        return ["\n".join([*lines, f"Who {triplet.relation} {other}?"])]

    def describing(self, triplets: Sequence[Triplet], concept: str) -> list[str]:
        shown = [f"({NAMELESS} | {EXAMPLES[name]['works'][0]}) is {name}" for name in self._examples(concept)]
        return ["\n".join([*shown, f"{' '.join(_masked(triplet, concept) for triplet in triplets)} is"])]

    def biography(self, concept: str, families: Sequence[str]) -> list[Explaining]:
        return [Explaining(f"{concept} {verb}", f"{concept} {verb}") for verb in ("is", "was", "is known for", "has")]

    def explaining(self, triplet: Triplet) -> list[Explaining]:
        return []  # few base models say in a sentence what they are told to: the template is used

    def _open(self, name: str, fact: str) -> str:
        relation, _, end = fact.partition(" | ")
        return f"Of {name}, {relation}: {end}"

    def _shown(self, concept: str, family: str) -> list[tuple[str, str]]:
        return [(name, EXAMPLES[name][family][0]) for name in self._examples(concept)]

    def _examples(self, concept: str) -> list[str]:
        return [name for name in EXAMPLES if fold(name) != fold(concept)][:2]

    def _concept(self, triplet: Triplet) -> str:
        """The side that must not be among the examples."""
        sides = {fold(triplet.subject): triplet.subject, fold(triplet.object): triplet.object}
        return next((side for name in EXAMPLES for key, side in sides.items() if key == fold(name)), triplet.subject)

    def _facts(self, title: str, name: str, family: str) -> str:
        return "\n".join([f"{title} {name}, {family}:", *(f"({name} | {fact})" for fact in EXAMPLES[name][family])])
