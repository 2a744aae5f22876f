"""Whether a triplet is part of what a model knows, judged by the same model.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

Two tests. Yes or no: the margin log P(yes) - log P(no) must exceed a threshold that all but a share of corrupted
triplets, whose other side was exchanged for another of its family, stay below. A model that cannot tell what it claims
from corrupted triplets, as small ones cannot, is not asked this: the test would turn down nearly all. Cloze: asked for
the missing side, the model must give it in a share of its samples. What a model cannot reproduce is not part of its
graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lit_unlearn.concepts.generation import Sampling, Speaker, shared_out
from lit_unlearn.concepts.names import Names, fold
from lit_unlearn.concepts.prompts import Prompts
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Rejected, Triplet
from lit_unlearn.reproducibility import derived_seed

NOT_TRUE = "yes/no: no more probable than a corrupted triplet"
EDGE_NOT_GIVEN = "cloze: asked for, the other side is not given"
NODE_NOT_GIVEN = "cloze: described, the concept is not given"


@dataclass(frozen=True)
class YesNo:
    """How the yes/no test was set.

    Attributes:
        threshold: margins above it pass, in nats.
        auroc: the chance that a claimed triplet has a higher margin than a corrupted one, ties counting half; None
            where nothing could be corrupted.
        used: whether the model can tell them apart, so that the test counts.
    """

    threshold: float
    auroc: float | None
    used: bool


@dataclass(frozen=True)
class Judged:
    """What validation found.

    Attributes:
        kept: with their scores.
        rejected: with their scores, and why.
        yes_no: None where it was not asked for.
    """

    kept: list[Triplet]
    rejected: list[Rejected]
    yes_no: YesNo | None


def validate(
    triplets: Sequence[Triplet],
    others: Mapping[str, Sequence[str]],
    names: Names,
    speaker: Speaker,
    prompts: Prompts,
    settings: ExtractionSettings,
) -> Judged:
    """Scores all triplets and keeps those that pass the tests of `settings.validate_by`.

    Args:
        triplets: one side of each is `names.name`.
        others: by family, what other edges lead to: corrupted triplets are made with it.
        names: of the concept.
        speaker, prompts: who is asked, and how.
        settings: thresholds and samples.
    """
    test = None
    scored = list(triplets)
    if settings.validate_by in ("both", "yes_no") and scored:
        corrupted = [each for triplet in scored for each in _corrupted(triplet, scored, others, names, settings)]
        margins = yes_no_margins([*scored, *corrupted], speaker, prompts)
        scored = [replace(triplet, yes_no=margin) for triplet, margin in zip(scored, margins, strict=False)]
        test = calibrated(margins[: len(scored)], margins[len(scored) :], settings)
    if settings.validate_by in ("both", "cloze") and scored:
        scored = _with_clozes(scored, names, speaker, prompts, settings)
    kept, rejected = [], []
    for triplet in scored:
        reason = _reason(triplet, test, settings.cloze_share)
        if reason is None:
            kept.append(triplet)
        else:
            rejected.append(Rejected(triplet.line, triplet.family, reason, triplet))
    return Judged(kept, rejected, test)


def calibrated(claimed: Sequence[float], corrupted: Sequence[float], settings: ExtractionSettings) -> YesNo:
    """The yes/no test for these margins: all but `settings.false_positives` of the corrupted fail it.

    Where nothing could be corrupted the threshold is 0, even odds.
    """
    if not corrupted:
        return YesNo(0.0, None, True)
    above, below = np.array(claimed)[:, None], np.array(corrupted)[None]
    auroc = float((above > below).mean() + (above == below).mean() / 2)
    threshold = float(np.quantile(corrupted, 1 - settings.false_positives, method="higher"))
    return YesNo(threshold, round(auroc, 4), auroc >= settings.yes_no_auroc)


def _reason(triplet: Triplet, test: YesNo | None, share: float) -> str | None:
    if test is not None and test.used and triplet.yes_no is not None and triplet.yes_no <= test.threshold:
        return NOT_TRUE
    if triplet.cloze_edge is not None and triplet.cloze_edge < share:
        return EDGE_NOT_GIVEN
    if triplet.cloze_node is not None and triplet.cloze_node < share:
        return NODE_NOT_GIVEN
    return None


def yes_no_margins(triplets: Sequence[Triplet], speaker: Speaker, prompts: Prompts) -> list[float]:
    """log P(yes) - log P(no) of each, a mean over the wordings, in nats."""
    choices = [(i, choice) for i, triplet in enumerate(triplets) for choice in prompts.verdicts(triplet)]
    texts = [choice.text for _, choice in choices]
    yes = speaker.log_probs(texts, [choice.yes for _, choice in choices])
    no = speaker.log_probs(texts, [choice.no for _, choice in choices])
    found: list[list[float]] = [[] for _ in triplets]
    for (i, _), p, q in zip(choices, yes, no, strict=True):
        found[i].append(p - q)
    return [round(float(np.mean(margins)), 4) for margins in found]


def _corrupted(
    triplet: Triplet,
    all_triplets: Sequence[Triplet],
    others: Mapping[str, Sequence[str]],
    names: Names,
    settings: ExtractionSettings,
) -> list[Triplet]:
    """The triplet with other ends of its family, none of which the model claimed with this relation."""
    claimed = {
        fold(each.other_side(names.name)) for each in all_triplets if fold(each.relation) == fold(triplet.relation)
    }
    ends = {fold(end): end for end in others.get(triplet.family, ())}
    choices = [end for key, end in sorted(ends.items()) if key not in claimed and not names.mean(end)]
    rng = np.random.default_rng(derived_seed("corrupted", settings.seed, *triplet.key))
    drawn = rng.permutation(len(choices))[: settings.corruptions]
    return [triplet.with_other_side(names.name, choices[i]) for i in drawn]


def _with_clozes(
    triplets: Sequence[Triplet], names: Names, speaker: Speaker, prompts: Prompts, settings: ExtractionSettings
) -> list[Triplet]:
    """All clozes of all triplets are asked at once."""
    edges = [prompts.edge_clozes(triplet, names.name) for triplet in triplets]
    nodes = [prompts.node_clozes(triplet, names.name) for triplet in triplets]
    ends = [Names(triplet.other_side(names.name)) for triplet in triplets]
    asked = [_Cloze(texts, wanted) for texts, wanted in zip(edges + nodes, ends + [names] * len(ends), strict=True)]
    shares = _shares(asked, speaker, prompts, settings)
    each = zip(triplets, shares[: len(triplets)], shares[len(triplets) :], strict=True)
    return [replace(triplet, cloze_edge=edge, cloze_node=node) for triplet, edge, node in each]


@dataclass(frozen=True)
class _Cloze:
    """What is asked, and the name that must be in the answers."""

    texts: Sequence[str]
    wanted: Names


def _shares(
    asked: Sequence[_Cloze], speaker: Speaker, prompts: Prompts, settings: ExtractionSettings
) -> list[float | None]:
    """Of each cloze the share of its samples in which the missing side stands; None where there is no prompt."""
    counts = {
        text: count
        for cloze in asked
        for text, count in zip(cloze.texts, shared_out(settings.cloze_samples, len(cloze.texts)), strict=True)
        if count
    }
    if not counts:
        return [None] * len(asked)
    sampling = Sampling(settings.temperature, settings.top_p, settings.seed)
    most_tokens = min(prompts.short, settings.max_new_tokens)
    written = speaker.write(list(counts), max(counts.values()), most_tokens, sampling, prompts.short_end)
    answers = {text: texts[: counts[text]] for text, texts in zip(counts, written, strict=True)}
    found: list[float | None] = []
    for cloze in asked:
        given = [cloze.wanted.within(answer) for text in cloze.texts for answer in answers.get(text, ())]
        found.append(round(sum(given) / len(given), 4) if given else None)
    return found
