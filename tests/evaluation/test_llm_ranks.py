"""The rank of right answers among others."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.llm.items import Choices, Item
from lit_unlearn.evaluation import llm
from lit_unlearn.evaluation.llm_ranks import NOTE, ranked, ranks
from lit_unlearn.evaluation.llm_rows import Name
from lit_unlearn.losses.tokens import sequence_log_probs
from tests.anomaly_data import trainer
from tests.evaluation.llm_models import Judged, data as data, taught as taught
from tests.llm_data import LAYER, model_folder, problem, small_unlearning


def choices(data, split: str, num: int = 4) -> Choices:
    """Items of a split, ranked among answers of the others in it."""
    asked = data.probes[split].items[:12]
    wrong, owner = [], []
    for i, item in enumerate(asked):
        others = sorted({other.answer for other in data.probes[split].items} - {item.answer})[:num]
        wrong += [replace(item, answer=answer) for answer in others]
        owner += [i] * len(others)
    return Choices(data.encoded(asked), data.encoded(wrong), np.array(owner))


def test_rank_by_hand():
    right, owner = np.array([-1.0, -2.0, -3.0]), np.array([0, 0, 1, 1, 1, 2])
    wrong = np.array([-1.5, -2.0, -1.0, -2.0, -3.0, -3.0])
    assert ranks(right, wrong, owner).tolist() == [1, 2.5, 1.5]


def test_rank_is_by_the_probability_a_token(data, taught):
    asked = choices(data, "retain")
    found = ranked(taught, {"retain": asked}, forgetting=False)[Name("behaviour", "rank", "retain")]

    def per_token(items: list[Item]) -> list[float]:
        scores = []
        for item in items:
            batch = data.encoded([item]).batch(torch.arange(1))
            with torch.no_grad():
                total = sequence_log_probs(taught(batch.tokens).logits, batch.labels)
            scores.append(float(total / (batch.labels != -100).sum()))
        return scores

    right, wrong = per_token(asked.right.items), per_token(asked.wrong.items)
    expected = [1 + sum(w > r for w, o in zip(wrong, asked.owner, strict=True) if o == i) for i, r in enumerate(right)]
    assert found.value == np.mean(expected) and found.n == len(right) and found.better == "lower"
    assert found.ci95 is not None and found.ci95[0] <= found.value <= found.ci95[1]


def test_a_model_that_knows_ranks_first_and_one_that_does_not_in_the_middle(data, taught):
    asked = {"retain": choices(data, "retain"), "forget": choices(data, "forget")}
    found = ranked(taught, asked, forgetting=True)
    assert found[Name("behaviour", "rank", "retain")].value == 1
    assert found[Name("behaviour", "rank", "forget")].better == "higher"
    from lit_unlearn.networks.causal_lm import load_causal_lm

    random = ranked(load_causal_lm(model_folder()), asked, forgetting=True)
    assert 1.5 < random[Name("behaviour", "rank", "retain")].value < 4.5


def test_names_that_nobody_has_also_get_a_probability(data, taught):
    found = ranked(taught, {"unknown": choices(data, "forget"), "unknown_statement": choices(data, "retain")}, True)
    assert set(found) == {
        Name("behaviour", metric, split)
        for metric in ("rank", "probability")
        for split in ("unknown", "unknown_statement")
    }
    assert found[Name("behaviour", "rank", "unknown")].better == "higher"
    assert 0 < found[Name("behaviour", "probability", "unknown")].value <= 1


@pytest.mark.parametrize("with_choices", [True, False])
def test_a_report_has_ranks_before_and_after_where_the_data_say_among_what(with_choices, taught):
    data: Any = small_unlearning()
    if with_choices:
        data.choices = {"forget": choices(data, "forget"), "unknown": choices(data, "forget")}
    found = llm.evaluate(Judged(taught, problem(reference=None, layer=LAYER)), data, trainer())
    ranks_there = {row.name: row for row in found.rows if row.metric == "rank"}
    assert set(ranks_there) == ({"behaviour/rank/forget", "behaviour/rank/unknown"} if with_choices else set())
    assert all(row.before is not None for row in ranks_there.values())
    assert (NOTE in found.notes) == with_choices
