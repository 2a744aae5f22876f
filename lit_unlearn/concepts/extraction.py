"""A concept extracted from a language model: asked, read, merged, validated, explained.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_unlearn.concepts import files, parsing
from lit_unlearn.concepts.generation import LanguageModel, Sampling, Speaker, shared_out
from lit_unlearn.concepts.names import Names, fold, normalise
from lit_unlearn.concepts.prompts import Asking, Prompts, prompts_for
from lit_unlearn.concepts.sentences import explain
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Concept, Mention, Rejected, Triplet, deduplicate
from lit_unlearn.concepts.validation import validate
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SENTENCE_TOKENS = 64
"""Most tokens of an explanatory sentence."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, which stage it is, from 0, and how many there are."""


def extract_concept(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    name: str,
    aliases: Sequence[str] = (),
    settings: ExtractionSettings | None = None,
    folder: Path | None = None,
    model_name: str = "",
    progress: Progress | None = None,
) -> Concept:
    """What a language model knows of a concept; a concept it does not know has no triplets, see `check_known`.

    Args:
        model, tokenizer: the language model, in eval mode, on any device.
        name: of the concept.
        aliases: other names of it.
        settings: null takes the defaults.
        folder: where what is generated is kept as it goes; the same call goes on from there. None keeps nothing.
        model_name: as it is to be written into the header.
        progress: is told of each stage.

    Raises:
        UserError: a name is empty or too general, a family does not exist, `folder` holds what another model or other
            settings wrote.
    """
    settings = settings or ExtractionSettings()  # type: ignore[call-arg]
    names = checked_names(name, aliases)
    prompts = prompts_for(settings.prompts, tokenizer, settings.wordings == "second")
    families = checked_families(settings, prompts)
    header = files.header_of(
        names.name,
        names.aliases,
        model_name,
        files.weights_hash(model),
        files.tokenizer_hash(tokenizer),
        settings.model_dump(exclude={"batch_size"}) | {"prompts": type(prompts).__name__},
        prompts.as_text(names.name, families),
    )
    speaker = LanguageModel(model, tokenizer, settings.batch_size, prompts.templated)
    remembering = files.Remembering(speaker, folder, header)
    return Extraction(names, remembering, prompts, families, settings, progress or silent).run(header)


def silent(what: str, done: int, stages: int) -> None:
    """Nobody is told."""


def checked_names(name: str, aliases: Sequence[str]) -> Names:
    """Names that can be looked for.

    Raises:
        UserError: one is empty, or a single character.
    """
    errors = []
    for key, each in [("concept", name), *(("aliases", alias) for alias in aliases)]:
        if len(fold(normalise(each))) < 2:
            errors.append(f"{key}={each!r}: too short to be looked for in texts; give a name of two characters or more")
    if errors:
        raise UserError(errors)
    return Names(normalise(name), tuple(normalise(alias) for alias in aliases))


def checked_families(settings: ExtractionSettings, prompts: Prompts) -> list[str]:
    """The families to ask for, in the order of the prompts.

    Raises:
        UserError: one that the prompts do not have, or none.
    """
    wanted = prompts.families if settings.families is None else settings.families
    unknown = [family for family in wanted if family not in prompts.families]
    if unknown or not wanted:
        raise UserError(f"families={unknown or '[]'}: allowed: {', '.join(prompts.families)}, or null for all of them")
    return [family for family in prompts.families if family in wanted]


def check_known(concept: Concept) -> None:
    """That there is something to unlearn.

    Raises:
        UserError: the model knows nothing of the concept, or nothing was validated.
    """
    if concept.triplets:
        return
    claims = [each for each in concept.rejected if each.triplet is not None]
    reasons: Counter[str] = Counter()
    for each in claims or concept.rejected:
        reasons[each.reason] += each.count
    counted = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common(4)) or "it wrote nothing"
    if claims:
        raise UserError(
            f"concept={concept.name!r}: none of its {len(claims)} triplets is validated ({counted}); "
            "choose a concept that the model knows, or loosen validate_by, cloze_share or support"
        )
    raise UserError(
        f"concept={concept.name!r}: unknown to the model ({counted}); "
        "check the spelling, give a concept that it knows, or other prompts"
    )


def check_aliases(names: Names, entities: Sequence[str]) -> None:
    """That the concept's names leave somebody to retain.

    Args:
        names: of the concept.
        entities: others that are to be retained.

    Raises:
        UserError: a name stands in half of them or more.
    """
    for alias in (names.name, *names.aliases):
        swallowed = [entity for entity in entities if Names(alias).within(entity)]
        if entities and 2 * len(swallowed) >= len(entities):
            raise UserError(
                f"aliases={alias!r}: stands in {len(swallowed)} of {len(entities)} others that are to be retained, "
                f"such as {swallowed[0]!r}; give an alias that means the concept alone"
            )


@dataclass
class Extraction:
    """The stages. What the model writes is remembered by `speaker`; all else follows from it."""

    names: Names
    speaker: Speaker
    prompts: Prompts
    families: list[str]
    settings: ExtractionSettings
    progress: Progress

    def run(self, header: dict[str, Any]) -> Concept:
        stages = 2 * len(self.families) + 2
        mentions: list[Mention] = []
        refused: list[Rejected] = []
        neighbours: list[Mention] = []
        for done, family in enumerate(self.families):
            self.progress(f"asking for {family}", done, stages)
            asking = self.prompts.asking(self.names.name, family)
            for asked, sample, written in self._answers(asking, self.settings.samples):
                found = parsing.read(written, asked, self.names, self.prompts.refusals)
                _sort(found, asked, sample, mentions, refused)
        for done, family in enumerate(self.families, len(self.families)):
            self.progress(f"asking for others, {family}", done, stages)
            asking = self.prompts.asking_for_others(self.names.name, family)
            for asked, sample, written in self._answers(asking, self.settings.neighbours):
                about, told = self.prompts.anybody(asked, written)
                found = parsing.read_about_anybody(told, about, self.prompts.refusals)
                _sort(found, asked, sample, neighbours, [])
        others = [each for each in deduplicate(neighbours) if not self._names_the_concept(each)]
        claimed, unsupported = self._supported(deduplicate(mentions))
        self.progress("validation", stages - 2, stages)
        ends = {
            family: [each.object for each in others if each.family == family]
            + [each.other_side(self.names.name) for each in claimed if each.family == family]
            for family in self.families
        }
        judged = validate(claimed, ends, self.names, self.speaker, self.prompts, self.settings)
        self.progress("sentences", stages - 1, stages)
        most_tokens = min(SENTENCE_TOKENS, self.settings.max_new_tokens)
        said = explain(judged.kept, self.names, self.speaker, self.prompts, self.settings.sentences, most_tokens)
        self.progress("done", stages, stages)
        return Concept(
            self.names.name,
            self.names.aliases,
            tuple(judged.kept),
            tuple(said),
            tuple(_counted(refused) + unsupported + judged.rejected),
            tuple(sorted({each.subject for each in others})),
            tuple(others),
            header | {"yes_no": None if judged.yes_no is None else asdict(judged.yes_no)},
        )

    def _answers(self, asking: list[Asking], total: int) -> Iterator[tuple[Asking, int, str]]:
        """The samples of a family, shared out among its prompts: prompt, number of the sample, answer."""
        counts = list(shared_out(total, len(asking)))
        if total == 0:
            return
        most_tokens, end = self.settings.max_new_tokens, self.prompts.long_end
        if asking[0].relation is not None:
            most_tokens, end = min(self.prompts.short, most_tokens), self.prompts.short_end
        sampling = Sampling(self.settings.temperature, self.settings.top_p, self.settings.seed)
        written = self.speaker.write([asked.text for asked in asking], counts[0], most_tokens, sampling, end)
        for asked, answers, count in zip(asking, written, counts, strict=True):
            yield from ((asked, sample, answer) for sample, answer in enumerate(answers[:count]))

    def _supported(self, triplets: list[Triplet]) -> tuple[list[Triplet], list[Rejected]]:
        least, most = self.settings.support, self.settings.most_triplets
        enough = [each for each in triplets if each.support >= least]
        few = [Rejected(t.line, t.family, f"said by fewer than {least} samples", t) for t in triplets[len(enough) :]]
        more = [Rejected(t.line, t.family, f"beyond the {most} most supported", t) for t in enough[most:]]
        return enough[:most], few + more

    def _names_the_concept(self, triplet: Triplet) -> bool:
        return any(self.names.within(side) for side in (triplet.subject, triplet.object))


def _sort(
    found: Iterable[Triplet | Rejected], asked: Asking, sample: int, mentions: list[Mention], refused: list[Rejected]
) -> None:
    for each in found:
        if isinstance(each, Triplet):
            mentions.append(Mention(each, (asked.identifier, sample)))
        else:
            refused.append(each)


def _counted(rejected: list[Rejected]) -> list[Rejected]:
    """Equal ones as one with their count, most frequent first, then in order of the alphabet."""
    counts = Counter(rejected).items()
    ordered = sorted(counts, key=lambda item: (-item[1], item[0].family, item[0].reason, item[0].text))
    return [replace(each, count=count) for each, count in ordered]
