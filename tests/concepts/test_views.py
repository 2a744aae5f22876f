"""Views of a graph: what is labelled, and that a context does not give the name away."""

from itertools import combinations

import pytest
from hypothesis import given, strategies as st

from datamodules.llm.batches import ENTITY_ABSENT, IGNORED
from lit_unlearn.concepts.encoding import encode_views
from lit_unlearn.concepts.line_prompts import ChatPrompts, CompletionPrompts
from lit_unlearn.concepts.names import Names
from lit_unlearn.concepts.prompts import Prompts
from lit_unlearn.concepts.record_prompts import RecordPrompts
from lit_unlearn.concepts.sentences import in_chat
from lit_unlearn.concepts.triplets import Concept, Sentence, Triplet
from lit_unlearn.concepts.views import View, Views, followed, views_of
from tests.concepts.stub import NAME, PlainPrompts
from tests.concepts.test_sentences import byte_tokenizer
from tests.llm_data import small_text

TRIPLETS = (
    Triplet(NAME, "wrote", "Note G", "works"),
    Triplet(NAME, "born in", "London", "places"),
    Triplet("Byron", "father of", NAME, "places"),
)
CONCEPT = Concept(
    NAME,
    ("Countess Lovelace",),
    TRIPLETS,
    (
        Sentence(0, "Ada Lovelace wrote Note G in 1843.", (0, 12), (19, 25), True),
        Sentence(1, "In London was born Ada Lovelace.", (19, 31), (3, 9), True),
        Sentence(2, "Byron was the father of Ada Lovelace.", (0, 5), (24, 36), True),
    ),
)


def labelled(view: View) -> str:
    return view.text[slice(*view.span)]


def plain(sizes=(1, 2), scope="span") -> Views:
    return views_of(CONCEPT, PlainPrompts(), sizes, scope, 0)


def test_what_is_labelled_in_either_view():
    views = plain()
    assert {labelled(view) for view in views.nodes} == {NAME}
    assert [(labelled(view), view.triplets) for view in views.edges] == [
        ("Note G", (0,)), ("Note G", (0,)), ("London", (1,)), ("Byron", (2,))
    ]  # fmt: skip


def test_a_sentence_is_a_node_view_where_the_concept_comes_last():
    texts = {view.text for view in plain().nodes}
    assert {"In London was born Ada Lovelace.", "Byron was the father of Ada Lovelace."} <= texts
    assert "Ada Lovelace wrote Note G in 1843." in {view.text for view in plain().edges}


@pytest.mark.parametrize("scope", ["span", "sentence"])
def test_no_context_of_a_node_names_the_concept(scope):
    names = Names(NAME, CONCEPT.aliases)
    for view in plain((1, 2, 3), scope).nodes:
        assert not names.within(view.text[: view.context])


def test_a_context_with_an_alias_is_left_out():
    said = Sentence(1, "Countess Lovelace, from London, was Ada Lovelace.", (36, 48), (24, 30), True)
    concept = Concept(NAME, ("Countess Lovelace",), TRIPLETS, (said,))
    assert said.text not in {view.text for view in views_of(concept, PlainPrompts(), (), "span", 0).nodes}
    unknown_alias = Concept(NAME, (), TRIPLETS, (said,))
    assert said.text in {view.text for view in views_of(unknown_alias, PlainPrompts(), (), "span", 0).nodes}


def test_sizes_of_descriptions():
    said = {len(view.triplets) for view in plain((3,)).nodes}
    assert said == {1, 3}  # sentences say one each
    clozes = [view for view in plain((1,)).nodes if "subject?" in view.text]
    assert len(clozes) == 1  # only a work is one person's alone
    assert not [view for view in plain((2,)).nodes if "subject?" in view.text]


def test_whole_sentences_by_choice():
    for view in plain(scope="sentence").edges:
        assert labelled(view) == view.text


def test_descriptions_of_records_hold_the_book():
    people = [Triplet("A B", family, f"V{i}", family) for i, family in enumerate(RecordPrompts.families)]
    prompts = RecordPrompts()
    for pair in combinations(people, 2):
        texts = prompts.describing(pair, "A B")
        assert bool(texts) == any(each.family == "book" for each in pair)
        for text in texts:
            assert "A B" not in text and all(each.object in text for each in pair)


@pytest.mark.parametrize("made", [ChatPrompts(byte_tokenizer()), CompletionPrompts(), RecordPrompts()])
def test_descriptions_and_biographies_of_all_prompts(made: Prompts):
    family = made.families[-1]
    pair = [Triplet("A B", "r", "X Y", family), Triplet("Z", "q", "A B", family)]
    for text in made.describing(pair, "A B"):
        assert "A B" not in text and "X Y" in text
    for each in made.biography("A B", made.families):
        assert "A B" in each.text and (each.prefix == "" or each.text.endswith(each.prefix))


def encoded(views, tokenizer=None, length=64, templated=False):
    return encode_views(views, tokenizer or byte_tokenizer(), length, templated)


def test_the_labelled_tokens_write_the_span():
    views = plain()
    for kind in (views.edges, views.nodes):
        made = encoded(kind)
        for view, labels in zip(kind, made.items.labels, strict=True):
            assert byte_tokenizer().decode(labels[labels != IGNORED]).strip() == labelled(view)


WORDS = st.text(alphabet="abcde |()?\u00e9\u4e2d\u0301", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(WORDS, WORDS, WORDS)
def test_the_labelled_tokens_write_the_span_after_a_chat_template(question: str, context: str, said: str):
    tokenizer = byte_tokenizer()
    text, start = in_chat(tokenizer, question, f"{context} {said}")
    at = start + len(context) + 1
    view = View(text, (at, at + len(said)), at)
    made = encoded([view], length=200, templated=True)
    if made is None:  # the span ends within a token
        return
    labels = made.items.labels[0]
    assert tokenizer.decode(labels[labels != IGNORED]).strip() == said.strip()


def test_a_span_is_dropped_rather_than_cut():
    view = followed("who? | wrote | Note G", NAME, PlainPrompts(), "")
    whole = encoded([view])
    needed = int(whole.items.lengths[0])
    assert encoded([view], length=needed).dropped == 0
    assert encoded([view], length=needed - 1) is None
    both = encoded([view, followed("who?", NAME, PlainPrompts(), "")], length=needed - 1)
    assert both.dropped == 1 and both.kept.tolist() == [1]


def test_an_end_of_text_is_labelled_where_it_closes_a_view():
    tokenizer = small_text().tokenizer
    open_view = View("the river", (4, 9), 3)
    closed = View("the river", (4, 9), 3, closed=True)
    made = encode_views([open_view, closed], tokenizer, 16, False)
    rows = [labels[labels != IGNORED].tolist() for labels in made.items.labels]
    assert rows[1] == [*rows[0], tokenizer.eos_token_id]


def test_where_the_entity_ends():
    tokenizer = small_text().tokenizer
    name = small_text().world.people[0].name
    made = encode_views([View(f"{name} wrote the river", (len(name) + 7, len(name) + 16), len(name) + 6, name)],
                        tokenizer, 16, False)  # fmt: skip
    assert tokenizer.decode(made.items.tokens[0, : made.items.entity_end[0] + 1]) == name
    assert encode_views([View("the river", (4, 9), 3)], tokenizer, 16, False).items.entity_end[0] == ENTITY_ABSENT
