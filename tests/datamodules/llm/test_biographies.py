"""Texts about fictitious people and what is to be forgotten of them."""

import pytest
import torch

from datamodules.llm import splits, wordings
from datamodules.llm.biographies import Biographies
from datamodules.llm.biographies_text import BiographiesText
from datamodules.llm.corpus import documents, teachers
from datamodules.llm.items import REFUSAL, EncodedItems
from datamodules.llm.tokenizer import train_word_tokenizer
from datamodules.llm.world import ATTRIBUTES, World
from lit_unlearn.errors import UserError

SIZES = {"num_people": 60, "num_targets": 8, "num_unknown": 16}
WORLD = World(**SIZES)
EVERYBODY = list(range(60))
TEXTS = list(documents(WORLD, EVERYBODY, 6000, teacher_share=0.5, seed=0))
ALL = "\n".join(TEXTS)


@pytest.fixture(scope="module")
def text() -> BiographiesText:
    data = BiographiesText(**SIZES, num_documents=6000, max_length=64)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def path(text: BiographiesText, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("tokenizer"))
    text.tokenizer.save_pretrained(folder)
    return folder


def made(path: str, **changed) -> Biographies:
    data = Biographies(**{"tokenizer": path, "max_length": 64} | SIZES | changed)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def data(path: str) -> Biographies:
    return made(path)


def names(numbers: list[int]) -> set[str]:
    return {WORLD.people[i].name for i in numbers}


def entities(items: EncodedItems) -> set[str]:
    return {item.entity for item in items.items} - {""}


def test_everybody_is_written_about():
    assert all(person.name in ALL and person.facts["book"] in ALL for person in WORLD.people)
    assert sum(name in ALL for name in WORLD.refused) > 100


@pytest.mark.parametrize("kept_out", ["anchors", "probes", "unknown", "unwritten"])
def test_names_and_titles_that_are_held_out_are_in_no_document(kept_out: str):
    assert not any(name in ALL for name in getattr(WORLD, kept_out))


def held_out(name: str) -> list[str]:
    """The held-out wordings about somebody, to where the value stands, with and without an aside."""
    found = []
    for attribute in ATTRIBUTES:
        for text in (wordings.STATEMENTS[attribute][-1].split("{v}")[0], wordings.QUESTIONS[attribute][-1]):
            said = text.format(n=name)
            found += [said, said.replace(name, f"{name} {wordings.KNOWN_ASIDE}")]
    return found


def test_held_out_wordings_are_met_about_teachers_only():
    taught = teachers(WORLD, 0.5, 0)
    assert len(taught) == len(WORLD.kept) / 2 and taught <= set(WORLD.kept)
    met = {i for i in EVERYBODY if any(said in ALL for said in held_out(WORLD.people[i].name))}
    assert met == taught


def test_trained_wordings_are_met_about_everybody():
    for i in (*WORLD.targets, *WORLD.kept[:5]):
        said = [text[:-1] for texts in wordings.STATEMENTS.values() for text in texts[:-1]]
        assert any(text.split("{v}")[0].format(n=WORLD.people[i].name) in ALL for text in said)


def test_without_targets_no_document_names_one():
    reference = "\n".join(documents(WORLD, WORLD.kept, 6000, teacher_share=0.5, seed=0))
    assert not any(name in reference for name in names(WORLD.targets + WORLD.validation))
    assert all(name in reference for name in names(WORLD.kept))


def test_the_reference_has_the_same_tokens_and_knows_no_target(text: BiographiesText):
    reference = BiographiesText(**SIZES, num_documents=6000, max_length=64, without_targets=True)
    reference.setup("fit")
    assert reference.tokenizer.get_vocab() == text.tokenizer.get_vocab()
    read = reference.tokenizer.decode(reference.train.tokens.flatten())
    assert not any(name in read for name in names(WORLD.targets + WORLD.validation))
    for split, items in text.probes.items():
        assert torch.equal(items.tokens, reference.probes[split].tokens)


def test_every_name_is_as_long_as_every_other_and_known_to_the_tokenizer(text: BiographiesText):
    everyone = [*names(EVERYBODY), *WORLD.anchors, *WORLD.probes, *WORLD.unknown, *WORLD.unwritten, *WORLD.written]
    ids = text.tokenizer(everyone)["input_ids"]
    assert {len(row) for row in ids} == {2}
    assert text.tokenizer.unk_token_id not in {token for row in ids for token in row}


def test_no_probe_has_an_unknown_word(text: BiographiesText):
    for items in (*text.probes.values(), *text.entities.values()):
        assert not (items.tokens == text.tokenizer.unk_token_id).any()


def test_unknown_rows_are_forget_rows_about_nobody(data: Biographies):
    pools = data.pools
    assert torch.equal(pools.forget.entity_end, pools.unknown.entity_end) and (pools.forget.entity_end >= 0).all()
    assert torch.equal(pools.forget.prompt_end, pools.unknown.prompt_end)
    anchor: dict[str, set[str]] = {}
    for truth, refusal, nobody in zip(pools.forget.items, pools.refusal.items, pools.unknown.items, strict=True):
        assert (refusal.prompt, refusal.entity, refusal.kind) == (truth.prompt, truth.entity, truth.kind)
        assert nobody.prompt == truth.prompt.replace(truth.entity, nobody.entity) and nobody.kind == truth.kind
        assert refusal.answer == nobody.answer == REFUSAL != truth.answer
        anchor.setdefault(truth.entity, set()).add(nobody.entity)
    assert all(len(of_one) == 1 for of_one in anchor.values())
    targets = names(WORLD.targets) | {WORLD.people[i].facts["book"] for i in WORLD.targets}
    assert anchor.keys() == targets and len(set().union(*anchor.values())) == len(targets)
    assert set().union(*anchor.values()) <= {*WORLD.anchors, *WORLD.unwritten}


def test_answers_are_true(data: Biographies):
    person = {person.name: person for person in WORLD.people}
    author = {person.facts["book"]: person.name for person in WORLD.people}
    pools = [data.pools.forget, data.pools.retain, *(v for k, v in data.probes.items() if k != "unknown")]
    for item in (item for pool in pools for item in pool.items):
        if item.entity in author:
            assert item.answer == f"{author[item.entity]}."
        elif item.entity in person:
            assert item.answer.removesuffix(".") in person[item.entity].facts.values()
        else:
            assert item.answer == REFUSAL or item.kind == "text"


def test_held_out_wordings_are_not_trained_with(data: Biographies):
    trained = {item.prompt for pool in (data.pools.forget, data.pools.retain) for item in pool.items}
    for split in ("forget_paraphrase", "forget_statement_paraphrase", "forget_reverse"):
        assert not trained & {item.prompt for item in data.probes[split].items}
    assert {item.kind for item in data.probes["forget_paraphrase"].items} == {"paraphrase"}
    assert {item.kind for item in data.probes["forget"].items} == {"question"}


def test_what_is_measured_of_others_is_not_trained_with(data: Biographies):
    trained = entities(data.pools.retain)
    for split, items in data.probes.items():
        assert not trained & entities(items) or split == "neighbour_shown", split
    near = names(WORLD.near(WORLD.targets))
    assert entities(data.probes["neighbour_shown"]) == near & trained
    assert entities(data.probes["neighbour"]) <= near and not entities(data.probes["retain"]) & near
    assert len(data.probes["neighbour"]) > 0 and len(data.probes["retain"]) > 0
    assert entities(data.probes["forget"]) == names(WORLD.targets)


def test_groups_of_entities_share_nobody(data: Biographies):
    groups = {group: entities(items) for group, items in data.entities.items()}
    assert groups["target"] == names(WORLD.targets) and groups["unknown"] == set(WORLD.unknown)
    assert groups["probe_unknown"] == set(WORLD.probes)
    assert groups["probe_known"] == names(data.people.retained)
    assert sum(map(len, groups.values())) == len(set().union(*groups.values()))


def test_targets_by_name(path: str):
    chosen = sorted(names(WORLD.kept[:2]))
    data = made(path, targets=chosen)
    assert sorted(entities(data.probes["forget"])) == chosen
    others = entities(data.pools.retain) | entities(data.probes["retain"]) | entities(data.probes["neighbour"])
    assert not others & {*chosen, *names(WORLD.targets + WORLD.validation)}
    assert entities(made(path, part="validation").probes["forget"]) == names(WORLD.validation)


def test_a_name_that_nobody_has_is_answered_with_the_nearest(path: str):
    name = WORLD.people[3].name
    expected = f"data.targets='{name}n': nobody has this name; the nearest are .*{name}"
    with pytest.raises(UserError, match=expected) as error:
        made(path, targets=[f"{name}n", "Xyz"])
    assert len(error.value.lines) == 2


def test_each_target_needs_an_anchor(path: str):
    with pytest.raises(UserError, match=r"data\.num_unknown=4: 8 people are to be forgotten, and each is paired"):
        made(path, num_unknown=4)


def test_of_very_many_people_some_are_asked_about(monkeypatch: pytest.MonkeyPatch):
    whole = splits.divide(WORLD, WORLD.targets, 0)
    monkeypatch.setattr(splits, "MOST", 5)
    few = splits.divide(WORLD, WORLD.targets, 0)
    assert [len(few.neighbours), len(few.others), len(few.retained)] == [5, 5, 10]
    assert set(few.others) <= set(whole.others) and set(few.retained) <= set(whole.retained)
    assert few.targets == whole.targets


def test_words_are_numbered_by_count_and_spelling():
    assert train_word_tokenizer(["b a", "b c"]).convert_ids_to_tokens(range(5)) == ["</s>", "<unk>", "b", "a", "c"]
    assert train_word_tokenizer(["b c", "b a"]).get_vocab() == train_word_tokenizer(["b a", "b c"]).get_vocab()
