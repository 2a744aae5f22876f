"""A speaker with a table of facts: validation keeps exactly what is in it."""

import pytest

from lit_unlearn.concepts import validation
from lit_unlearn.concepts.names import Names
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Triplet
from lit_unlearn.concepts.validation import calibrated, validate
from tests.concepts.stub import FACTS, MADE_UP, NAME, OTHERS, PlainPrompts, Stub

CLAIMED = [Triplet(*key, family) for key, family in (FACTS | MADE_UP).items()]
EVERY = FACTS | MADE_UP | OTHERS
ENDS = {family: [o for (_, _, o), f in EVERY.items() if f == family] for family in ("places", "works")}


def judged(stub: Stub, **settings):
    return validate(CLAIMED, ENDS, Names(NAME), stub, PlainPrompts(), ExtractionSettings(**settings))


def keys(triplets) -> set[tuple[str, str, str]]:
    return {(t.subject, t.relation, t.object) for t in triplets}


@pytest.mark.parametrize("by", ["both", "yes_no", "cloze"])
def test_exactly_the_true_ones_are_kept(by: str):
    found = judged(Stub(), validate_by=by)
    assert keys(found.kept) == set(FACTS)
    assert keys(r.triplet for r in found.rejected) == set(MADE_UP)
    expected = validation.EDGE_NOT_GIVEN if by == "cloze" else validation.NOT_TRUE
    assert {r.reason for r in found.rejected} == {expected}


def test_scores():
    found = judged(Stub())
    note = next(t for t in found.kept if t.object == "Note G")
    assert (note.yes_no, note.cloze_edge, note.cloze_node) == (2.0, 1.0, 1.0)
    assert next(t for t in found.kept if t.object == "London").cloze_node is None
    assert found.yes_no is not None and found.yes_no.used and found.yes_no.threshold == -2.0
    assert found.yes_no.auroc == pytest.approx((4 + 3 / 2) / 7, abs=1e-4)


def test_a_model_that_says_yes_to_all_is_not_asked():
    found = judged(Stub(discerning=False), validate_by="yes_no")
    assert len(found.kept) == 7 and found.yes_no is not None
    assert not found.yes_no.used and found.yes_no.auroc == 0.5
    assert keys(judged(Stub(discerning=False)).kept) == set(FACTS)


def test_without_validation_all_is_kept():
    stub = Stub()
    found = judged(stub, validate_by="none")
    assert found.kept == CLAIMED and found.yes_no is None and stub.asked == []


def test_the_threshold_by_hand():
    settings = ExtractionSettings(false_positives=0.25, yes_no_auroc=0.8)
    test = calibrated([5.0, 1.0], [0.0, 1.0, 2.0, 3.0, -1.0], settings)
    assert test.threshold == 2.0  # the third of five, of rank 3 of 4, is not passed by a quarter
    assert test.auroc == pytest.approx((5 + 2.5) / 10) and not test.used
    alone = calibrated([5.0], [], settings)
    assert (alone.threshold, alone.auroc, alone.used) == (0.0, None, True)


def test_corrupted_triplets_are_none_that_were_claimed():
    stub = Stub()
    judged(stub, validate_by="yes_no", corruptions=8)
    corrupted = [tuple(p.split(" | ")[1:]) for p in stub.asked[: len(stub.asked) // 2]][len(CLAIMED) :]
    assert corrupted and not set(corrupted) & (set(FACTS) | set(MADE_UP))
    assert {o for _, r, o in corrupted if r == "wrote"} == {"A Long Letter", "A Short Letter", "a memoir on the engine"}
    assert all(s == NAME for s, _, _ in corrupted)


def test_few_of_the_samples_are_not_enough():
    class Rarely(Stub):
        def write(self, prompts, samples, most_tokens, sampling, end):
            return [
                answers[:1] + ["no idea"] * (samples - 1) for answers in super().write(prompts, samples, 8, None, "")
            ]

    assert keys(judged(Rarely(), validate_by="cloze", cloze_share=0.2).kept) == set(FACTS)
    assert judged(Rarely(), validate_by="cloze", cloze_share=0.21).kept == []
