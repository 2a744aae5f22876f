"""What a model is asked: in every family, about the concept alone, and never in the wordings that are held out."""

from functools import cache

import pytest

from datamodules.llm import wordings
from datamodules.llm.byte_tokenizer import train_byte_tokenizer
from lit_unlearn.concepts import parsing
from lit_unlearn.concepts.line_prompts import EXAMPLES, ChatPrompts, CompletionPrompts
from lit_unlearn.concepts.names import Names, fold
from lit_unlearn.concepts.prompts import Prompts, prompts_for
from lit_unlearn.concepts.question_prompts import QuestionPrompts
from lit_unlearn.concepts.record_prompts import RecordPrompts
from lit_unlearn.concepts.triplets import Triplet
from lit_unlearn.errors import UserError
from tests.concepts.test_sentences import byte_tokenizer
from tests.llm_data import small_text


@cache
def everyone() -> list[Prompts]:
    return [
        made
        for second in (False, True)
        for made in (
            RecordPrompts(second),
            ChatPrompts(byte_tokenizer(), second),
            CompletionPrompts(second),
            QuestionPrompts(second),
        )
    ]


@pytest.mark.parametrize("prompts", everyone(), ids=lambda p: f"{type(p).__name__}-{p.second}")
def test_every_family_is_asked_validated_and_said(prompts: Prompts):
    for family in prompts.families:
        triplet = Triplet("Ada Lovelace", family, "Note G", family)
        asked = prompts.asking("Ada Lovelace", family)
        assert asked and all("Ada Lovelace" in each.text and each.family == family for each in asked)
        assert all(each.text.endswith(each.prefix) for each in asked)
        assert len({each.identifier for each in asked}) == len(asked)
        for choice in prompts.verdicts(triplet):
            assert "Ada Lovelace" in choice.text and "Note G" in choice.text and choice.yes != choice.no
        clozes = prompts.edge_clozes(triplet, "Ada Lovelace")
        assert clozes and all("Ada Lovelace" in text and "Note G" not in text for text in clozes)
        assert not {each.text for each in asked} & set(clozes)
        nodes = prompts.node_clozes(triplet, "Ada Lovelace")
        assert all("Note G" in text and "Ada Lovelace" not in text for text in nodes)
        sentence = prompts.template(triplet)
        assert Names("Ada Lovelace").within(sentence) and Names("Note G").within(sentence)
        assert prompts.asking_for_others("Ada Lovelace", family)


def test_the_second_wordings_are_others():
    for first, second in zip(everyone()[:4], everyone()[4:], strict=True):
        for family in first.families:
            one, other = ({each.text for each in p.asking("Ada Lovelace", family)} for p in (first, second))
            assert not one & other


def test_held_out_wordings_are_never_used():
    statements = [texts[-1].split("{v}")[0].strip() for texts in wordings.STATEMENTS.values()]
    questions = [texts[-1] for texts in wordings.QUESTIONS.values()]
    held_out = [text.format(n="Ada Lovelace") for text in statements + questions]
    for prompts in (RecordPrompts(), RecordPrompts(True)):
        text = str(prompts.as_text("Ada Lovelace", list(prompts.families)))
        assert wordings.REVERSE[-1].split("{")[0] not in text
        assert not [each for each in held_out if each in text]


def test_the_concept_is_no_example():
    for name in EXAMPLES:
        for family in CompletionPrompts.families:
            prompts = CompletionPrompts()
            triplet = Triplet(name.upper(), "wrote", "x", family)
            texts = [prompts.asking(name, family)[0].text, prompts.asking_for_others(name, family)[0].text]
            texts += [*prompts.edge_clozes(triplet, name.upper()), prompts.verdicts(triplet)[0].text]
            assert [fold(text).count(fold(name)) for text in texts] == [2, 0, 1, 1]


def test_examples_are_read_as_triplets():
    asked = CompletionPrompts().asking("Ada Lovelace", "works")[0]
    lines = "\n".join(asked.text.split("\n")[:3])
    found = list(parsing.read_about_anybody(lines, CompletionPrompts().asking_for_others("x", "works")[0], frozenset()))
    assert sum(isinstance(each, Triplet) for each in found) >= 2


def test_which_prompts_fit():
    chat, plain = byte_tokenizer(), train_byte_tokenizer(["a b"], 260)
    assert isinstance(prompts_for("auto", small_text().tokenizer), RecordPrompts)
    assert isinstance(prompts_for("auto", chat), ChatPrompts)
    assert isinstance(prompts_for("auto", plain), CompletionPrompts)
    assert isinstance(prompts_for("completion", chat, True), CompletionPrompts)
    assert isinstance(prompts_for("questions", plain, True), QuestionPrompts)
    with pytest.raises(UserError, match="no chat template; give prompts=completion"):
        prompts_for("chat", plain)
    assert ChatPrompts(chat).asking("Ada", "works")[0].text.startswith("<|user|>\nYou know")
