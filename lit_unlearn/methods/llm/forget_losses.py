"""The forget losses that a concept's views can be trained with, by name: each asks the method for what it needs.

Each is that of the method of the same name in this folder, where its paper is; values that a paper sets are those of
that method's defaults.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch import Tensor

from datamodules.llm.batches import UnlearningBatch
from lit_unlearn.losses import forgetting, preference, retaining
from lit_unlearn.losses.tokens import answer_lengths, answer_probability
from lit_unlearn.networks.reference import Need, all_log_probs

ForgetLoss = Literal[
    "gradient_ascent", "npo", "simnpo", "dpo", "flat", "wga", "satimp", "undial", "ce_u", "ihl", "refusal"
]


class Entry(NamedTuple):
    """A forget loss.

    Attributes:
        loss: (method, batch, beta) to (); the batch is of one view.
        needs: what is asked of the untouched model.
    """

    loss: Callable[[Any, UnlearningBatch, float], Tensor]
    needs: tuple[Need, ...] = ()


def _npo(method: Any, batch: UnlearningBatch, beta: float) -> Tensor:
    return preference.npo(method.log_probs(batch.forget), method.untouched.log_probs("forget", batch.forget), beta)


def _simnpo(method: Any, batch: UnlearningBatch, beta: float) -> Tensor:
    return preference.simnpo(method.log_probs(batch.forget), answer_lengths(batch.forget.labels), beta)


def _dpo(method: Any, batch: UnlearningBatch, beta: float) -> Tensor:
    now = method.log_probs(batch.refusal), method.log_probs(batch.forget)
    before = method.untouched.log_probs("refusal", batch.refusal), method.untouched.log_probs("forget", batch.forget)
    return preference.dpo(*now, *before, beta)


def _flat(method: Any, batch: UnlearningBatch, beta: float) -> Tensor:
    chosen = answer_probability(method.logits(batch.refusal.tokens), batch.refusal.labels)
    return preference.flat(chosen, answer_probability(method.logits(batch.forget.tokens), batch.forget.labels))


def _undial(method: Any, batch: UnlearningBatch, beta: float) -> Tensor:
    logits = method.logits(batch.forget.tokens)
    values, indices = method.untouched.distributions("forget", batch.forget)
    untouched = all_log_probs(values, indices, logits.shape[-1])
    return forgetting.undial(logits, batch.forget.labels, untouched, beta)


def _of_logits(loss: Callable[..., Tensor]) -> Callable[[Any, UnlearningBatch, float], Tensor]:
    return lambda method, batch, beta: loss(method.logits(batch.forget.tokens), batch.forget.labels, beta)


def _refusal(method: Any, batch: UnlearningBatch, beta: float) -> Tensor:
    return retaining.nll(method.logits(batch.refusal.tokens), batch.refusal.labels)


LOSSES: dict[str, Entry] = {
    "gradient_ascent": Entry(_of_logits(lambda logits, labels, beta: forgetting.gradient_ascent(logits, labels))),
    "npo": Entry(_npo, (("forget", "log_probs"),)),
    "simnpo": Entry(_simnpo),
    "dpo": Entry(_dpo, (("forget", "log_probs"), ("refusal", "log_probs"))),
    "flat": Entry(_flat),
    "wga": Entry(_of_logits(forgetting.wga)),
    "satimp": Entry(_of_logits(lambda logits, labels, beta: forgetting.satimp(logits, labels, beta, 1.0))),
    "undial": Entry(_undial, (("forget", "distributions"),)),
    "ce_u": Entry(_of_logits(lambda logits, labels, beta: forgetting.ce_u(logits, labels, 0))),
    "ihl": Entry(_of_logits(lambda logits, labels, beta: forgetting.ihl(logits, labels))),
    "refusal": Entry(_refusal),
}
