"""Items to train with: views and refusals row by row, biographies, questions."""

import pytest
import torch

from datamodules.llm.batches import IGNORED
from datamodules.llm.items import REFUSAL, Item
from lit_unlearn.concepts import material
from lit_unlearn.concepts.triplets import Concept
from lit_unlearn.concepts.views import View
from lit_unlearn.errors import UserError
from tests.concepts.stub import NAME, PlainPrompts
from tests.concepts.test_retaining import SAID, Knows
from tests.concepts.test_sentences import byte_tokenizer
from tests.concepts.test_views import CONCEPT


def source(length: int = 128, stub=None) -> material.Source:
    return material.Source(stub or Knows(), PlainPrompts(), byte_tokenizer(), length, 0)


def concept() -> Concept:
    from dataclasses import replace

    return replace(CONCEPT, neighbours=("Nobody Else", "Someone Other"), neighbour_triplets=SAID)


def texts(items, labels_only: bool = True) -> list[str]:
    rows = zip(items.tokens, items.labels, strict=True)
    return [byte_tokenizer().decode(row[label != IGNORED] if labels_only else row).strip() for row, label in rows]


def made(length: int = 128) -> material.Material:
    views = material.graph_views([concept()], source(length), [1, 2], "span")
    stays = material.what_stays([concept()], source(length), [], [Item("", "The river.", "", "text")])
    return material.gathered(list(views), stays, source(length))


def test_views_one_after_the_other_and_refusals_row_by_row():
    found = made()
    edges, nodes = found.sizes
    said = texts(found.forget)
    assert set(said[edges:]) == {NAME} and NAME not in said[:edges] and len(said) == edges + nodes
    assert {text.removesuffix("</s>") for text in texts(found.refusal)} == {REFUSAL}
    for row in range(len(said)):
        start = int((found.forget.labels[row] != IGNORED).nonzero()[0])
        common = min(start, int((found.refusal.labels[row] != IGNORED).nonzero()[0])) - 2
        assert torch.equal(found.forget.tokens[row, :common], found.refusal.tokens[row, :common])
    assert any(text.startswith("The river.") for text in texts(found.retain))


def test_which_triplets_an_item_says():
    found = made()
    assert found.says.shape == (len(found.forget), 2)
    for said, label in zip(found.says.tolist(), texts(found.forget), strict=True):
        if label != NAME:
            assert [label] == [concept().triplets[n].other_side(NAME) for n in said if n >= 0]


def test_triplets_are_numbered_through_all_concepts():
    from dataclasses import replace

    second = replace(concept(), name=NAME)
    edges, _ = material.graph_views([concept(), second], source(), [1], "span")
    assert {number for view in edges for number in view.triplets} == set(range(6))


def test_views_that_do_not_fit_are_counted():
    whole, short = made(), made(20)
    assert short.dropped > 0 and len(short.forget) + short.dropped == len(whole.forget)
    assert sum(short.sizes) == len(short.forget) == len(short.refusal) == len(short.says)
    with pytest.raises(UserError, match=r"^data.max_length=4: none of \d+ texts about the concepts"):
        made(4)


def test_without_a_family():
    left = material.without(concept(), ["places"])
    assert [triplet.family for triplet in left.triplets] == ["works"]
    assert [sentence.text for sentence in left.sentences] == ["Ada Lovelace wrote Note G in 1843."]
    assert left.sentences[0].triplet == 0 and left.neighbour_triplets == SAID


def test_biographies_are_labelled_as_a_whole():
    class Tells(Knows):
        def write(self, prompts, samples, most_tokens, sampling, end):
            assert (sampling.temperature, sampling.top_p) == (1.0, 0.9)
            return [[f" known{i}." for i in range(samples)] for _ in prompts]

    found = material.biographies([concept()], source(stub=Tells()), 3, ["works"])
    assert [view.text for view in found] == [f"{NAME} was known{i}." for i in range(3)]
    assert all(view.span == (0, len(view.text)) and view.entity == NAME for view in found)


def test_questions_are_clozes_of_edges():
    found = material.questions([concept()], source())
    assert {view.text[slice(*view.span)] for view in found} == {"Note G", "London", "Byron"}


def test_a_sentence_of_somebody_else():
    assert material.sentence_view("Of nobody.", NAME) == View("Of nobody.", (0, 10), 0)


def test_nothing_to_retain():
    from dataclasses import replace

    alone = replace(concept(), neighbours=(), neighbour_triplets=())
    with pytest.raises(UserError, match="^method.extraction.neighbours: the model said nothing about others"):
        material.what_stays([alone], source(), [], [])
