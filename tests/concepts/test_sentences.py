"""Spans point at the right characters and the right tokens, after a chat template too."""

from functools import cache

import pytest
from hypothesis import given, strategies as st

from datamodules.llm.byte_tokenizer import train_byte_tokenizer
from lit_unlearn.concepts.names import Names
from lit_unlearn.concepts.sentences import explain, in_chat, token_span, tokenised
from lit_unlearn.concepts.triplets import Triplet
from lit_unlearn.errors import UserError
from tests.concepts.stub import NAME, PlainPrompts, Stub
from tests.llm_data import small_text

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}"


@cache
def byte_tokenizer():
    made = train_byte_tokenizer(["Ada Lovelace was born in London.", "She wrote Note G."] * 5, 320)
    made.chat_template = TEMPLATE
    return made


def test_what_the_model_says_and_the_template_where_it_does_not():
    triplets = [Triplet(NAME, "wrote", "Note G", "works"), Triplet("Byron", "father of", NAME, "people")]
    said = explain(triplets, Names(NAME), Stub(), PlainPrompts(), 4, 64)
    assert [s.generated for s in said] == [True, False]
    assert said[0].text == "It is said that Ada Lovelace wrote Note G, as all know."
    assert said[1].text == "Byron: father of Ada Lovelace."
    for sentence in said:
        triplet = triplets[sentence.triplet]
        assert sentence.text[slice(*sentence.subject_span)] == triplet.subject
        assert sentence.text[slice(*sentence.object_span)] == triplet.object


def test_an_alias_will_do_and_an_overlap_will_not():
    class Says(Stub):
        def write(self, prompts, samples, most_tokens, sampling, end):
            return [[" Countess Lovelace wrote NOTE G"] for _ in prompts]

    triplets = [Triplet(NAME, "wrote", "Note G", "works"), Triplet(NAME, "was", "Countess", "people")]
    names = Names(NAME, ["Countess Lovelace"])
    first, second = explain(triplets, names, Says(), PlainPrompts(), 4, 64)
    assert first.text == "Countess Lovelace wrote NOTE G." and first.generated
    assert first.text[slice(*first.subject_span)] == "Countess Lovelace"
    assert first.text[slice(*first.object_span)] == "NOTE G"
    assert not second.generated  # `Countess` is there as a part of the alias only


PARTS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=8)


@given(PARTS, PARTS, PARTS, st.sampled_from([None, "Who?", "Ada Lovelace?"]))
def test_tokens_of_a_span_write_it(before: str, inside: str, after: str, question: str | None):
    tokenizer = byte_tokenizer()
    text = f"{before} {inside} {after}"
    span = (len(before) + 1, len(before) + 1 + len(inside))
    ids, (found,) = tokenised(tokenizer, text, [span], question)
    if found is not None:
        assert tokenizer.decode(ids[slice(*found)]).strip() == inside.strip()


@pytest.mark.parametrize("question", [None, "Where was Ada Lovelace born? In London?"])
def test_spans_of_a_sentence_in_words_and_bytes(question: str | None):
    text = "Ada Lovelace was born in London."
    ids, spans = tokenised(byte_tokenizer(), text, [(0, 12), (25, 31)], question)
    assert [byte_tokenizer().decode(ids[slice(*span)]).strip() for span in spans if span] == ["Ada Lovelace", "London"]
    world = small_text()
    person = world.world.people[0]
    text = f"{person.name} wrote {person.facts['book']}."
    places = [(0, len(person.name)), (text.index(person.facts["book"]), len(text) - 1)]
    ids, spans = tokenised(world.tokenizer, text, places)
    assert spans == [(0, 2), (3, 5)]


def test_a_span_within_a_token_or_cut_off_cannot_be_used():
    offsets = [(0, 0), (0, 3), (3, 10), (10, 11)]
    text = "Adawas born"
    assert token_span(offsets, text, (0, 3)) == (1, 2)
    assert token_span(offsets, text, (3, 10)) == (2, 3)
    assert token_span(offsets, text, (0, 2)) is None
    assert token_span(offsets, text, (3, 6)) is None
    assert token_span(offsets[:2], text, (3, 10)) is None
    assert token_span(offsets, text, (0, 10)) == (1, 3)


def test_a_template_that_changes_the_answer():
    tokenizer = train_byte_tokenizer(["a b"], 260)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(UserError, match="changes what the assistant says"):
        in_chat(tokenizer, "Who?", "Ada")
    text, start = in_chat(byte_tokenizer(), "Ada", "Ada")
    assert text[start:].startswith("Ada</s>") and start > text.index("<|assistant|>")
