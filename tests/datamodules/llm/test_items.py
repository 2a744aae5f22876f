"""Prompts with answers as tokens: which of them are the answer, and where prompt and entity end."""

import pytest
import torch
from tokenizers import processors

from datamodules.llm.batches import ENTITY_ABSENT, IGNORED
from datamodules.llm.byte_tokenizer import train_byte_tokenizer
from datamodules.llm.items import EncodedItems, Item, encode_items
from datamodules.llm.tokenizer import END, train_word_tokenizer
from lit_unlearn.errors import UserError

TEXTS = [
    "Where was Ann Lee born? Answer: Kraz.",
    "I do not know. Who wrote Iris? Zed Lee wrote Iris.",
    "Annville",
]
NAMES = ["Erika Kov\u00e1\u010dov\u00e1", "Zo\u00eb", "\u674e\u660e", "Ann Lee", "Patrick O'Donnell"]


def words():
    return train_word_tokenizer(TEXTS)


def pieces(vocab_size: int = 300):
    """Byte pairs: a letter with an accent that no text had is two tokens."""
    return train_byte_tokenizer(TEXTS, vocab_size)


def with_begin(closing: bool = False):
    """A tokenizer that puts a begin, or also an end, around each text by itself."""
    tokenizer = pieces()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    ids = [("<s>", tokenizer.convert_tokens_to_ids("<s>")), (END, tokenizer.eos_token_id)]
    frame = f"<s> $A {END}" if closing else "<s> $A"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=ids)
    return tokenizer


def asked(name: str, answer: str = "Kraz.", **other) -> Item:
    return Item(f"Where was {name} born? Answer:", answer, name, **other)


def upto(tokenizer, items: EncodedItems, end: int, row: int = 0) -> str:
    return tokenizer.decode(items.tokens[row, : end + 1], skip_special_tokens=True)


def answer(tokenizer, items: EncodedItems, row: int = 0) -> str:
    return tokenizer.decode(items.labels[row][items.labels[row] != IGNORED])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [pieces, with_begin], ids=["plain", "begin"])
def test_a_name_of_many_bytes_ends_at_its_last_token(name: str, make):
    tokenizer = make()
    items = encode_items([asked(name)], tokenizer, 64)
    end = int(items.entity_end[0])
    assert upto(tokenizer, items, end) == f"Where was {name}"
    assert upto(tokenizer, items, end - 1) != f"Where was {name}"
    assert upto(tokenizer, items, int(items.prompt_end[0])) == asked(name).prompt
    assert answer(tokenizer, items) == f" Kraz.{END}"


def test_the_last_byte_of_a_letter_is_where_it_ends():
    tokenizer = pieces()
    items = encode_items([asked("Zo\u00eb")], tokenizer, 64)
    last = tokenizer.convert_ids_to_tokens(items.tokens[0].tolist())[int(items.entity_end[0])]
    assert len(last) == 1 and not last.isascii()  # one of the two bytes of the letter, the second
    assert upto(tokenizer, items, int(items.entity_end[0]) - 1).endswith("\ufffd")


def test_whole_words():
    tokenizer = words()
    items = encode_items([asked("Ann Lee")], tokenizer, 64)
    tokens = tokenizer.convert_ids_to_tokens(items.tokens[0])
    assert tokens == ["Where", "was", "Ann", "Lee", "born", "?", "Answer", ":", "Kraz", ".", END]
    assert (items.entity_end.item(), items.prompt_end.item()) == (3, 7)
    assert items.labels[0].tolist() == [IGNORED] * 8 + items.tokens[0, 8:].tolist()


def test_the_left_part_of_a_word_is_found_where_the_tokenizer_cuts_there():
    item = Item("Where is Annville? Answer:", "Here.", "Ann")
    fine = train_byte_tokenizer(["Ann Ann Ann", "ville ville"], 264)
    items = encode_items([item], fine, 64)
    assert upto(fine, items, int(items.entity_end[0])) == "Where is Ann"
    with pytest.raises(UserError, match="'Ann' ends within a token of this tokenizer"):
        encode_items([item], words(), 64)


def test_of_a_repeated_name_the_last_counts():
    tokenizer = pieces()
    items = encode_items(
        [Item("Ann Lee? Ann Lee! Where was Ann Lee born? Answer:", "Ann Lee.", "Ann Lee")], tokenizer, 64
    )
    assert upto(tokenizer, items, int(items.entity_end[0])) == "Ann Lee? Ann Lee! Where was Ann Lee"


def test_a_prompt_without_entity_has_none():
    items = encode_items([Item("Who? Answer:", "Zed.")], words(), 64)
    assert items.entity_end.item() == ENTITY_ABSENT


def test_a_begin_of_text_is_no_answer():
    tokenizer = with_begin()
    items = encode_items([asked("Ann Lee"), Item("", "Zed Lee wrote.", "", "text")], tokenizer, 64)
    assert items.tokens[:, 0].tolist() == [tokenizer.bos_token_id] * 2
    assert [answer(tokenizer, items, row) for row in (0, 1)] == [f" Kraz.{END}", f"Zed Lee wrote.{END}"]


def test_an_answer_is_closed_once_and_a_statement_not():
    for tokenizer in (pieces(), with_begin(), with_begin(closing=True)):
        items = encode_items([asked("Ann Lee")], tokenizer, 64)
        assert (items.tokens == tokenizer.eos_token_id).sum() == 1
    tokenizer = pieces()
    statement = encode_items([Item("Ann Lee was born in", "Kraz.", "Ann Lee", "statement")], tokenizer, 64)
    assert answer(tokenizer, statement) == " Kraz."


def test_text_without_a_prompt_is_learnt_from_its_second_token():
    items = encode_items([Item("", "Zed Lee wrote.", "", "text")], words(), 64)
    assert items.labels[0].tolist() == [IGNORED, *items.tokens[0, 1:].tolist()]


def test_a_batch_is_cut_to_its_longest_row():
    texts = [asked("Ann Lee"), asked("Erika Kov\u00e1\u010dov\u00e1"), Item("", "Kraz.")]
    items = encode_items(texts, pieces(), 64)
    assert items.tokens.shape == items.labels.shape == (3, int(items.lengths.max()))
    batch = items.batch(torch.tensor([2, 0]))
    assert batch.tokens.shape == (2, int(items.lengths[0]))
    assert batch.item.tolist() == [2, 0] and batch.entity_end.tolist() == [ENTITY_ABSENT, int(items.entity_end[0])]
    assert torch.equal(batch.labels[1], items.labels[0, : items.lengths[0]])
    assert (items.labels[2, items.lengths[2] :] == IGNORED).all() and len(items) == 3


def test_too_long_items_are_refused_with_the_longest():
    texts = [asked("Ann Lee"), asked("Ann Lee", "Kraz. Kraz. Kraz."), asked("Ann Lee", "Kraz. Kraz.")]
    assert encode_items(texts, words(), 15).tokens.shape == (3, 15)
    with pytest.raises(UserError, match=r"data\.max_length=10: 'Where was Ann Lee.* has 15 tokens; give 15 or more"):
        encode_items(texts, words(), 10)


def test_an_answer_that_grows_together_with_the_prompt_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<e>": 0, "a": 1, " ": 2, "b": 3, "a ": 4, "a b": 5}
    whole = Tokenizer(models.BPE(vocabulary, [("a", " "), ("a ", "b")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=whole, eos_token="<e>")
    with pytest.raises(
        UserError, match="'a' ends within a token of this tokenizer; begin the answer with another word"
    ):
        encode_items([Item("a", "b")], tokenizer, 8)
