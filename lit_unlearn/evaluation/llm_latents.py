"""The latents of sparse autoencoders that tell known from unknown entities: which, and what becomes of them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.llm.items import EncodedItems
from lit_unlearn.evaluation.llm_asking import template
from lit_unlearn.evaluation.llm_representation import Groups
from lit_unlearn.evaluation.llm_rows import Name, Number, Numbers
from lit_unlearn.metrics.latents import firing_rates, latent_scores, specific, top_latents
from lit_unlearn.report import Table

NUM_LATENTS = 10
NOTE = (
    "firing_known_latents, firing_unknown_latents: share of the target's states on which the latents fire that tell "
    f"known from unknown entities best in the untouched model (after Ferrando et al.; at most {NUM_LATENTS} of each), "
    "at the entity's last token; the value aimed at is that of the unknown names. fvu: mean squared error of the "
    "targets' reconstructions, over the variance of all entities' states in the untouched model (targets alone vary "
    "little)"
)


class Latents(NamedTuple):
    """Some latents of an autoencoder, the best first.

    Attributes:
        which: (n,) int64.
        scores: (n,) how much more often each fires on its side, see `LatentScores`.
        on_text: (n,) share of the tokens of general text that it fires on.
    """

    which: Tensor
    scores: Tensor
    on_text: Tensor


class Chosen(NamedTuple):
    """Latents that fire on known entities more than on unknown ones, and the reverse."""

    known: Latents
    unknown: Latents


def choose_latents(groups: Groups, items: Mapping[str, EncodedItems], space: str, on_text: Tensor) -> Chosen:
    """The latents of an autoencoder that tell known from unknown best, on entities that nobody is judged by.

    Args:
        groups: of the untouched model.
        items: by group.
        space: the autoencoder's name.
        on_text: (M, J) its codes of general text.
    """
    known, unknown = groups["probe_known"][space], groups["probe_unknown"][space]
    of_known, of_unknown = ([template(i) for i in items[group].items] for group in ("probe_known", "probe_unknown"))
    if set(of_known) == set(of_unknown):
        types = {prompt: number for number, prompt in enumerate(sorted(set(of_known)))}
        numbers = (torch.tensor([types[prompt] for prompt in prompts]) for prompts in (of_known, of_unknown))
        scores = latent_scores(known, unknown, *numbers)
    else:
        scores = latent_scores(known, unknown)
    allowed, rates = specific(on_text), firing_rates(on_text)
    best = [(side, top_latents(side, allowed, NUM_LATENTS)) for side in scores]
    return Chosen(*(Latents(which, side[which], rates[which]) for side, which in best))


def firing(groups: Groups, chosen: Mapping[str, Chosen]) -> tuple[Numbers, list[str]]:
    """How often the chosen latents fire on the targets."""
    found: Numbers = {}
    notes = []
    for space, latents in chosen.items():
        for side in Chosen._fields:
            which = getattr(latents, side).which
            if not len(which):
                notes.append(
                    f"firing_{side}_latents, {space}: absent, no latent fires more on {side} entities whatever the "
                    "prompt, and on less than 2 % of general text"
                )
                continue
            rate = float(firing_rates(groups["target"][space])[which].mean())
            aim = float(firing_rates(groups["unknown"][space])[which].mean())
            number = Number(rate, len(groups["target"][space]), None, "target", aim)
            found[Name("representation", f"firing_{side}_latents", space)] = number
    return found, notes


def table(chosen: Mapping[str, Chosen], before: Groups, after: Groups) -> Table:
    """The chosen latents, a line each: what they tell, how well, and on which share of the states they fire.

    Args:
        chosen: by autoencoder.
        before, after: of the untouched model, and of the one that is judged.
    """
    known = before["known" if "known" in before else "probe_known"]
    states = {"known": known, "unknown": before["unknown"], "target": before["target"], "target now": after["target"]}
    lines: list[list[str | float]] = []
    for space, sides in chosen.items():
        for side, latents in sides._asdict().items():
            rates = [firing_rates(found[space])[latents.which] for found in (states.values())]
            lines += [
                [space, side, int(latent), *(round(float(number), 4) for number in numbers)]
                for latent, *numbers in zip(latents.which, latents.scores, latents.on_text, *rates, strict=True)
            ]
    head = ["autoencoder", "tells", "latent", "score", "general text", *states]
    return Table("latents that tell known from unknown entities: shares of the states on which they fire", head, lines)
