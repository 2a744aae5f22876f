"""A speaker that knows a table of facts and makes others up, and prompts that it understands."""

from collections.abc import Sequence

from lit_unlearn.concepts.generation import Sampling
from lit_unlearn.concepts.names import fold
from lit_unlearn.concepts.prompts import Asking, Choice, Explaining, Prompts
from lit_unlearn.concepts.triplets import Triplet

NAME = "Ada Lovelace"
FACTS = {
    ("Ada Lovelace", "born in", "London"): "places",
    ("Ada Lovelace", "died in", "Marylebone"): "places",
    ("Ada Lovelace", "wrote", "Note G"): "works",
    ("Ada Lovelace", "translated", "a memoir on the engine"): "works",
}
MADE_UP = {
    ("Ada Lovelace", "born in", "Paris"): "places",
    ("Ada Lovelace", "lived in", "Vienna"): "places",
    ("Ada Lovelace", "wrote", "The Odyssey"): "works",
}
OTHERS = {
    ("Nobody Else", "born in", "Oslo"): "places",
    ("Nobody Else", "lived in", "Bergen"): "places",
    ("Someone Other", "wrote", "A Long Letter"): "works",
    ("Someone Other", "wrote", "A Short Letter"): "works",
}


class PlainPrompts(Prompts):
    """A prompt is what is asked and a bar between the parts."""

    families = ("places", "works")
    refusals = frozenset({"none"})

    def asking(self, concept: str, family: str) -> list[Asking]:
        return [Asking(f"{family}/ask", f"ask | {family} | {concept}", family, concept)]

    def asking_for_others(self, concept: str, family: str) -> list[Asking]:
        return [Asking(f"{family}/others", f"others | {family}", family, "")]

    def verdicts(self, triplet: Triplet) -> list[Choice]:
        return [Choice(f"true? | {triplet.subject} | {triplet.relation} | {triplet.object}", " yes", " no")]

    def edge_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        return [f"object? | {triplet.subject} | {triplet.relation}"]

    def node_clozes(self, triplet: Triplet, concept: str) -> list[str]:
        return [f"subject? | {triplet.relation} | {triplet.object}"] if triplet.family == "works" else []

    def describing(self, triplets: Sequence[Triplet], concept: str) -> list[str]:
        return [" ".join(f"who? | {triplet.relation} | {triplet.other_side(concept)}" for triplet in triplets)]

    def biography(self, concept: str, families: Sequence[str]) -> list[Explaining]:
        return [Explaining(f"biography | {concept}", f"{concept} was")]

    def explaining(self, triplet: Triplet) -> list[Explaining]:
        return [Explaining(f"explain | {triplet.subject} | {triplet.relation} | {triplet.object}")]

    def template(self, triplet: Triplet) -> str:
        return f"{triplet.subject}: {triplet.relation} {triplet.object}."


class Stub:
    """Claims `FACTS` and `MADE_UP`, and judges by `FACTS` alone.

    Args:
        discerning: whether yes/no depends on what is true.
        knows: whether it says anything when asked about the concept.

    Attributes:
        asked: every prompt it was given.
    """

    def __init__(self, discerning: bool = True, knows: bool = True):
        self.discerning, self.knows = discerning, knows
        self.asked: list[str] = []

    def write(
        self, prompts: Sequence[str], samples: int, most_tokens: int, sampling: Sampling | None, end: str
    ) -> list[list[str]]:
        self.asked += prompts
        return [[self._answer(prompt)] * samples for prompt in prompts]

    def _answer(self, prompt: str) -> str:
        kind, *parts = prompt.split(" | ")
        if kind in ("ask", "others"):
            facts = (FACTS | MADE_UP if self.knows else {}) if kind == "ask" else OTHERS
            lines = [f"{i}. ({' | '.join(key)})" for i, (key, family) in enumerate(facts.items()) if family == parts[0]]
            return "\n".join(["Here is what I know:", *lines, "(Marie Curie | born in | Warsaw)", "none", "(Ada | wr"])
        if kind == "object?":
            return ", ".join(o for s, r, o in FACTS if [fold(s), fold(r)] == [fold(part) for part in parts])
        if kind == "subject?":
            return ", ".join(s for s, r, o in FACTS if [fold(r), fold(o)] == [fold(part) for part in parts])
        return (
            f"It is said that {parts[0]} {parts[1]} {parts[2]}, as all know.\nMore." if "Note G" in prompt else "Well."
        )

    def log_probs(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        self.asked += prompts
        true = [tuple(prompt.split(" | ")[1:]) in FACTS for prompt in prompts]
        margin = [(2.0 if each else -2.0) if self.discerning else 1.0 for each in true]
        return [m if answer == " yes" else 0.0 for m, answer in zip(margin, answers, strict=True)]
