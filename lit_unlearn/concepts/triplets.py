"""Triplets (subject, relation, object) about a concept, the sentences that explain them, and what was turned down.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from lit_unlearn.concepts.names import fold


@dataclass(frozen=True)
class Triplet:
    """An edge of the concept's graph.

    Attributes:
        subject, relation, object: as the model most often wrote them; the side that is the concept bears its name,
            whichever alias was written.
        family: the relation family that was asked for.
        support: samples that said it, each once.
        prompt: which prompt brought it up first, by its identifier.
        yes_no: log P(yes) - log P(no) when the model is asked whether it is true; None before validation.
        cloze_edge: share of samples that name the other side, given the concept and the relation.
        cloze_node: share of samples that name the concept, given the relation and the other side; None where the
            family has no prompt for that, because such a description fits many.
    """

    subject: str
    relation: str
    object: str
    family: str
    support: int = 1
    prompt: str = ""
    yes_no: float | None = None
    cloze_edge: float | None = None
    cloze_node: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for triplets that differ in case, accents or spaces only."""
        return fold(self.subject), fold(self.relation), fold(self.object)

    @property
    def line(self) -> str:
        """As it is written in prompts and lists."""
        return f"({self.subject} | {self.relation} | {self.object})"

    def other_side(self, concept: str) -> str:
        """What the edge leads to, seen from the concept's name."""
        return self.object if self.subject == concept else self.subject

    def with_other_side(self, concept: str, other: str) -> "Triplet":
        """The edge led elsewhere: with support and scores of none."""
        subject, end = (self.subject, other) if self.subject == concept else (other, self.object)
        return Triplet(subject, self.relation, end, self.family)


@dataclass(frozen=True)
class Rejected:
    """What a model wrote that is no edge of the graph.

    Attributes:
        text: the line, or the triplet as a line.
        family: that was asked for.
        reason: why; the same words for the same reason, so that they can be counted.
        triplet: with its scores, where it was one.
        count: how often it was written.
    """

    text: str
    family: str
    reason: str
    triplet: Triplet | None = None
    count: int = 1


@dataclass(frozen=True)
class Sentence:
    """A sentence that says a triplet.

    Attributes:
        triplet: its number in `Concept.triplets`.
        text: holds subject and object as they are written in the triplet, or an alias for the concept.
        subject_span, object_span: characters [start, end) of both in `text`.
        generated: whether the model wrote it; else it is the template of the relation.
    """

    triplet: int
    text: str
    subject_span: tuple[int, int]
    object_span: tuple[int, int]
    generated: bool


@dataclass(frozen=True)
class Concept:
    """What a model knows of a concept: see `lit_unlearn.concepts.extraction.extract_concept`.

    Attributes:
        name, aliases: of the concept.
        triplets: the validated ones, most supported first.
        sentences: at least one a triplet.
        rejected: everything else the model said, with reasons.
        neighbours: other entities the model named by itself when asked for the same families; none is the concept.
        neighbour_triplets: what it said of them, not validated.
        header: where it came from: see `lit_unlearn.concepts.files.header_of`.
    """

    name: str
    aliases: tuple[str, ...]
    triplets: tuple[Triplet, ...]
    sentences: tuple[Sentence, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    neighbours: tuple[str, ...] = ()
    neighbour_triplets: tuple[Triplet, ...] = ()
    header: dict = field(default_factory=dict)

    def sentences_of(self, triplet: int) -> list[Sentence]:
        """Those that say the triplet of this number."""
        return [sentence for sentence in self.sentences if sentence.triplet == triplet]


@dataclass(frozen=True)
class Mention:
    """A triplet as one sample wrote it.

    Attributes:
        triplet: with a support of 1.
        source: prompt and number of the sample: what a sample repeats counts once.
    """

    triplet: Triplet
    source: tuple[str, int]


def deduplicate(mentions: Iterable[Mention]) -> list[Triplet]:
    """Merges mentions that differ in case, accents or spaces only; the result does not depend on their order.

    Of several spellings, families and prompts the most frequent one stands, of equals the first in the alphabet.

    Returns:
        triplets with their support, most supported first, then in the order of the alphabet.
    """
    groups: dict[tuple[str, str, str], list[Mention]] = {}
    for mention in mentions:
        groups.setdefault(mention.triplet.key, []).append(mention)
    merged = [_merged(group) for group in groups.values()]
    return sorted(merged, key=lambda triplet: (-triplet.support, triplet.key))


def _merged(group: Sequence[Mention]) -> Triplet:
    spelling = _most_frequent((m.triplet.subject, m.triplet.relation, m.triplet.object) for m in group)
    return replace(
        group[0].triplet,
        subject=spelling[0],
        relation=spelling[1],
        object=spelling[2],
        family=_most_frequent(m.triplet.family for m in group),
        prompt=_most_frequent(m.triplet.prompt for m in group),
        support=len({m.source for m in group}),
    )


def _most_frequent(values: Iterable):
    return min(Counter(values).items(), key=lambda item: (-item[1], item[0]))[0]
