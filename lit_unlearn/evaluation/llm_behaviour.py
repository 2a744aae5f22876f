"""What a language model says: right answers, refusals, how probable the truth is, and how well it goes on with a text.

Nothing is generated: an answer counts where greedy decoding would give it, see `lit_unlearn.metrics.answers`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.llm.batches import TextBatch
from datamodules.llm.items import EncodedItems
from lit_unlearn.evaluation.llm_asking import UNKNOWN, Questions, WrongAnswers, entity_numbers
from lit_unlearn.evaluation.llm_rows import Name, Number, Numbers, mean, share
from lit_unlearn.losses.tokens import token_log_probs
from lit_unlearn.metrics import answers
from lit_unlearn.networks.causal_lm import logits_from, rows_at_once

ROWS_AT_ONCE = 256

SHOWN = "neighbour_shown"
"""Split of neighbours that unlearning was given to retain."""

NOTES = [
    "accuracy, refusal: share of prompts after which greedy decoding gives the answer, or the refusal, to its end; "
    "intervals are Wilson's, as if items were independent (those of one entity are not)",
    "probability: of the answer, per token (geometric mean); truth_ratio: R = P(wrong)/P(right) per token, as the mean "
    "of min(R, 1/R) on forget and of max(0, 1 - R) elsewhere (TOFU), on at most 180 items of a split, with up to three "
    "wrong answers that others with the same prompt have, and the right answer as it is, not paraphrased; intervals: "
    "bootstrap of the entities",
]


class Judged(NamedTuple):
    """What a model makes of N items.

    Attributes:
        exact: (N,) bool, greedy decoding gives the answer.
        log_prob: (N,) float64, log-probability of the answer per token.
        first: (N,) int64, the token that greedy decoding begins with.
    """

    exact: NDArray[np.bool_]
    log_prob: NDArray[np.float64]
    first: NDArray[np.int64]


def behaviour(model: Any, asked: Questions, forgetting: bool) -> tuple[Numbers, list[str]]:
    """What there is to be measured of a model's answers, and notes on what there is not.

    Args:
        model: a causal language model of transformers, in eval mode.
        asked: see `questions`.
        forgetting: whether the targets were to be forgotten; else they are people like others.
    """
    judged = {split: judge(model, items) for split, items in asked.probes.items()}
    found: Numbers = {}
    for split, measured in judged.items():
        if split != UNKNOWN:
            found[Name("behaviour", "accuracy", split)] = share(measured.exact, _wanted(split, forgetting))
    refused = {split: _refused(model, items, judged[split].first) for split, items in asked.refusals.items()}
    if UNKNOWN in judged:
        refused[UNKNOWN] = judged[UNKNOWN].exact
    for split, hits in refused.items():
        wanted = split == UNKNOWN or (forgetting and split.startswith("forget"))
        found[Name("behaviour", "refusal", split)] = share(hits, "higher" if wanted else "lower")
    text, notes = _utility(model, asked.general)
    found |= text
    for split, measured in judged.items():
        if split != UNKNOWN:
            entities = entity_numbers(asked.probes[split].items)
            wanted_level = _wanted(split, forgetting)
            found[Name("behaviour", "probability", split)] = mean(np.exp(measured.log_prob), entities, wanted_level)
    for split, wrong in asked.wrong.items():
        log_ratio = _log_truth_ratio(judged[split].log_prob, judge(model, wrong.items).log_prob, wrong)
        as_forgotten = forgetting and split == "forget"
        ratio = (answers.truth_ratio_forgotten if as_forgotten else answers.truth_ratio_kept)(log_ratio)
        entities = entity_numbers(asked.probes[split].items)[np.unique(wrong.row)]
        found[Name("behaviour", "truth_ratio", split)] = mean(ratio, entities, "higher")
    if forgetting and SHOWN in judged:
        notes.append(f"retain, neighbour: people whom unlearning never saw; {SHOWN}: neighbours it was to retain")
    absent = [split for split in asked.refusals if split not in asked.wrong]
    if absent:
        notes.append(
            f"truth_ratio, {', '.join(absent)}: absent, no two items with the same prompt differ in the answer"
        )
    return found, notes


def _wanted(split: str, forgetting: bool):
    return "lower" if forgetting and split.startswith("forget") else "higher"


def _refused(model: Any, refusals: EncodedItems, first: NDArray) -> NDArray:
    """(N,) bool, whether greedy decoding gives the refusal; only what begins like one is read to its end."""
    rows = torch.arange(len(refusals))
    begins = torch.from_numpy(first) == refusals.tokens[rows, refusals.prompt_end + 1]
    hits = np.zeros(len(refusals), dtype=bool)
    if begins.any():
        hits[begins.numpy()] = judge(model, refusals, rows[begins]).exact
    return hits


def _log_truth_ratio(right: NDArray, wrong: NDArray, which: WrongAnswers) -> NDArray:
    """(n,) of the items that have wrong answers, in their order."""
    table = np.full((len(right), which.column.max() + 1), np.nan)
    table[which.row, which.column] = wrong
    rows = np.unique(which.row)
    return answers.log_truth_ratio(right[rows], table[rows])


def _utility(model: Any, general: TextBatch) -> tuple[Numbers, list[str]]:
    log_probs = text_log_probs(model, general)
    perplexity = answers.perplexity(log_probs)
    if not math.isfinite(perplexity):
        loss = -log_probs.double().mean().item()
        return {}, [f"perplexity: absent, too large for a number (loss {loss:.6g} a token)"]
    return {Name("utility", "perplexity", "general"): Number(perplexity, len(log_probs), None, "lower")}, []


@torch.no_grad()
def judge(model: Any, items: EncodedItems, which: Tensor | None = None) -> Judged:
    """What a model makes of items (all, or (n,) numbers of some), from one pass over each."""
    chosen = torch.arange(len(items)) if which is None else which
    # Little is padding, and prompts that go together end together.
    by_length = (items.prompt_end * items.tokens.shape[1] + items.lengths)[chosen].argsort(stable=True)
    parts = []
    for rows in chosen[by_length].split(rows_at_once(items.tokens.shape[1], model.config.vocab_size, ROWS_AT_ONCE)):
        batch = items.batch(rows)
        start = int(batch.prompt_end.min())  # before that nothing is asked of any
        tokens, labels = batch.tokens.to(model.device), batch.labels[:, start:].to(model.device)
        logits = logits_from(model, tokens, start)
        first = logits[torch.arange(len(rows)), batch.prompt_end - start].argmax(-1)
        found = (answers.exact_match(logits, labels), answers.mean_log_prob(logits, labels).double(), first)
        parts.append([part.cpu() for part in found])
    return Judged(*(torch.cat(columns)[by_length.argsort()].numpy() for columns in zip(*parts, strict=True)))


@torch.no_grad()
def text_log_probs(model: Any, text: TextBatch) -> Tensor:
    """(M,) log-probabilities of all tokens of packed documents but the first of each."""
    found = []
    at_once = rows_at_once(text.tokens.shape[1], model.config.vocab_size, ROWS_AT_ONCE)
    for rows in torch.arange(len(text.tokens)).split(at_once):
        tokens, labels, positions = (part[rows].to(model.device) for part in text)
        log_probs, mask = token_log_probs(model(tokens, position_ids=positions, use_cache=False).logits, labels)
        found.append(log_probs[mask].cpu())
    return torch.cat(found)
