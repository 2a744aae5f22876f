"""Every loss on the predictions or hidden states of a language model, and the same written as a loop over tokens.

What holds for all of them is tested over this table.
"""

from collections.abc import Callable
from typing import NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_unlearn.losses import forgetting, preference, retaining
from lit_unlearn.losses.tokens import (
    IGNORED,
    answer_lengths,
    answer_logits,
    answer_probability,
    sequence_log_probs,
)


class Problem(NamedTuple):
    """A batch of B texts; for losses on hidden states the logits are those."""

    logits: Tensor  # (B, T, V)
    reference: Tensor  # (B, T, V), of the untouched model
    labels: Tensor  # (B, T)

    def rows(self, chosen: slice) -> "Problem":
        return Problem(*(part[chosen] for part in self))

    def at(self, logits: Tensor) -> "Problem":
        return self._replace(logits=logits)


ANSWERS = [(3, 6), (2, 8), (8, 9), (0, 3), (4, 6)]
"""Where the labels of each row begin and end: a long one, one of a single token, one without any prompt."""


def problem(vocabulary: int = 6, dtype: torch.dtype = torch.float64) -> Problem:
    generator = torch.Generator().manual_seed(0)
    logits, reference = 1.5 * torch.randn(2, len(ANSWERS), 9, vocabulary, generator=generator, dtype=torch.float64)
    tokens = torch.randint(vocabulary, (len(ANSWERS), 9), generator=generator)
    labels = torch.full_like(tokens, IGNORED)
    for row, (start, end) in enumerate(ANSWERS):
        labels[row, start:end] = tokens[row, start:end]
    return Problem(logits.to(dtype), reference.to(dtype), labels)


def answer(distributions: list[list[float]], gold: list[int]) -> tuple[Tensor, Tensor]:
    """(1, T, V) float64 log-probabilities and (1, T) labels of an answer whose tokens have these distributions."""
    rows = torch.tensor(distributions, dtype=torch.float64).log()
    return F.pad(rows, (0, 0, 0, 1), value=0.3)[None], torch.tensor([[IGNORED, *gold]])


# ---------------------------------------------------------------- the losses as loops over tokens and sequences


def naive(case: "Case", p: Problem) -> tuple[Tensor, list[int]]:
    """() the mean over what the loss counts, and how much that is in each row."""
    counted: list[list[Tensor]] = []
    for row in range(len(p.labels)):
        tokens = [t for t in range(1, p.labels.shape[1]) if p.labels[row, t] != IGNORED]
        x = [p.logits[row, t - 1] for t in tokens]
        reference = [p.reference[row, t - 1] for t in tokens]
        gold = [int(p.labels[row, t]) for t in tokens]
        if case.over_sequences:
            counted.append([case.naive(x, reference, gold)])
        else:
            one_by_one = list(zip(x, reference, gold, strict=True))
            counted.append([case.naive(*token) for token in one_by_one[case.skipped :]])
    return torch.stack(sum(counted, [])).mean(), [len(row) for row in counted]


def log_p(x: Tensor, gold: int) -> Tensor:
    return x[gold] - x.exp().sum().log()


def log_sum(x: list[Tensor], gold: list[int]) -> Tensor:
    return sum(log_p(*token) for token in zip(x, gold, strict=True))


def mean_p(x: list[Tensor], gold: list[int]) -> Tensor:
    return sum(log_p(*token).exp() for token in zip(x, gold, strict=True)) / len(x)


def halves(x: list[Tensor]) -> list[Tensor]:
    return [part / 2 for part in x]


def cross(target: list[Tensor], x: Tensor) -> Tensor:
    return -sum(q * log_p(x, v) for v, q in enumerate(target) if q > 0)


def naive_undial(x: Tensor, reference: Tensor, gold: int) -> Tensor:
    lowered = reference.clone()
    lowered[gold] -= 1.7
    return cross([log_p(lowered, v).exp() for v in range(len(x))], x)


def naive_ce_u(x: Tensor, reference: Tensor, gold: int) -> Tensor:
    p = [log_p(x, v).exp() for v in range(len(x))]
    return cross([p[v] / (1 - p[gold]) if v != gold else p[v] * 0 for v in range(len(x))], x)


def naive_ihl(x: Tensor, reference: Tensor, gold: int) -> Tensor:
    rival = max(log_p(x, v).exp() for v in range(len(x)) if v != gold)
    return (1 + log_p(x, gold).exp() - rival).clamp_min(0)


def naive_kl(x: Tensor, reference: Tensor, gold: int) -> Tensor:
    return sum(log_p(reference, v).exp() * (log_p(reference, v) - log_p(x, v)) for v in range(len(x)))


def naive_kl_top_2(x: Tensor, reference: Tensor, gold: int) -> Tensor:
    listed = sorted(range(len(x)), key=lambda v: -reference[v])[:2]
    p, q = ([log_p(logits, v).exp() for v in listed] for logits in (reference, x))
    p, q = [*p, 1 - sum(p)], [*q, 1 - sum(q)]
    return sum(a * (a / b).log() for a, b in zip(p, q, strict=True))


def log_sigma(x: Tensor) -> Tensor:
    return -(1 + (-x).exp()).log()


DIRECT = {  # g* and f* of FLAT's Table
    "total_variation": (lambda v: torch.tanh(v) / 2, lambda u: u),
    "kl": (lambda v: v, lambda u: (u - 1).exp()),
    "jensen_shannon": (lambda v: (2 / (1 + (-v).exp())).log(), lambda u: -(2 - u.exp()).log()),
    "pearson": (lambda v: v, lambda u: u.square() / 4 + u),
}


def direct(divergence: str, a: Tensor, b: Tensor) -> Tensor:
    g, f = DIRECT[divergence]
    return -(g(a) - f(g(b)))


# ---------------------------------------------------------------- the table


class Case(NamedTuple):
    """A loss, and a token or a sequence of it from its logits, its reference logits and its true tokens."""

    loss: Callable[[Problem], Tensor]
    naive: Callable[..., Tensor]
    over_sequences: bool = False
    skipped: int = 0  # tokens at the beginning of an answer
    weighted: bool = False  # by what is taken as constant, so that its gradient is not the slope of its value
    on_states: bool = False  # hidden states, not logits


def reference_log_probs(p: Problem) -> Tensor:
    return answer_logits(p.reference, p.labels)[0].log_softmax(-1)


def both(p: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of two answers of each row, the other one that of flatter logits: log p, log p, and the reference's."""
    four = (p.logits, p.logits / 2, p.reference, p.reference / 2)
    return tuple(sequence_log_probs(x, p.labels) for x in four)


def predicting(p: Problem) -> Tensor:
    return F.pad(p.labels[:, 1:] != IGNORED, (0, 1))


LOSSES = {
    "gradient_ascent": Case(
        lambda p: forgetting.gradient_ascent(p.logits, p.labels),
        lambda x, reference, gold: log_p(x, gold),
    ),
    "wga": Case(
        lambda p: forgetting.wga(p.logits, p.labels, 0.7),
        lambda x, reference, gold: log_p(x, gold).exp() ** 0.7 * log_p(x, gold),
        weighted=True,
    ),
    "satimp": Case(
        lambda p: forgetting.satimp(p.logits, p.labels, 5.0, 1.0),
        lambda x, reference, gold: log_p(x, gold).exp() ** 5 * (1 - log_p(x, gold).exp()) * log_p(x, gold),
        weighted=True,
    ),
    "undial": Case(
        lambda p: forgetting.undial(p.logits, p.labels, answer_logits(p.reference, p.labels)[0], 1.7), naive_undial
    ),
    "ce_u": Case(lambda p: forgetting.ce_u(p.logits, p.labels), naive_ce_u, skipped=1, weighted=True),
    "pdu_forget": Case(
        lambda p: forgetting.pdu_forget(p.logits, p.labels),
        lambda x, reference, gold: (max(x) - sum(x) / len(x)) ** 2,
    ),
    "ihl": Case(lambda p: forgetting.ihl(p.logits, p.labels), naive_ihl),
    "rmu": Case(
        lambda p: forgetting.rmu(p.logits, p.labels, forgetting.control_vector(p.logits.shape[2], 2.0, seed=1)),
        lambda x, reference, gold: (x - forgetting.control_vector(len(x), 2.0, seed=1)).square().sum() / len(x),
        on_states=True,
    ),
    "npo": Case(
        lambda p: preference.npo(both(p)[0], both(p)[2], 0.4),
        lambda x, reference, gold: -2 / 0.4 * log_sigma(-0.4 * (log_sum(x, gold) - log_sum(reference, gold))),
        over_sequences=True,
    ),
    "dpo": Case(
        lambda p: preference.dpo(*both(p), 0.4),
        lambda x, reference, gold: (
            -2
            / 0.4
            * log_sigma(
                0.4 * (log_sum(x, gold) - log_sum(reference, gold))
                - 0.4 * (log_sum(halves(x), gold) - log_sum(halves(reference), gold))
            )
        ),
        over_sequences=True,
    ),
    "simnpo": Case(
        lambda p: preference.simnpo(both(p)[0], answer_lengths(p.labels), 2.5, 0.2),
        lambda x, reference, gold: -2 / 2.5 * log_sigma(2.5 * (-log_sum(x, gold) / len(gold) - 0.2)),
        over_sequences=True,
    ),
    **{
        f"flat_{name}": Case(
            lambda p, name=name: preference.flat(
                answer_probability(p.logits / 2, p.labels), answer_probability(p.logits, p.labels), name
            ),
            lambda x, reference, gold, name=name: direct(name, mean_p(halves(x), gold), mean_p(x, gold)),
            over_sequences=True,
        )
        for name in get_args(preference.Divergence)
    },
    "nll": Case(lambda p: retaining.nll(p.logits, p.labels), lambda x, reference, gold: -log_p(x, gold)),
    "kl": Case(lambda p: retaining.kl(p.logits, p.labels, reference_log_probs(p)), naive_kl),
    "kl_top_k": Case(
        lambda p: retaining.kl_top_k(p.logits, p.labels, *reference_log_probs(p).topk(2)),
        naive_kl_top_2,
    ),
    "hidden_mse": Case(
        lambda p: retaining.hidden_mse(p.logits, p.reference, predicting(p)),
        lambda x, reference, gold: (x - reference).square().sum() / len(x),
        on_states=True,
    ),
}
