"""Real entities: the files as they are, who plays which part, and what is asked."""

import pytest
import torch

from datamodules.llm.entities import Entities
from datamodules.llm.entities_text import EntitiesText
from datamodules.llm.entity_files import LAYOUTS, read_entities
from datamodules.llm.entity_items import paragraphs
from datamodules.llm.entity_roles import World
from datamodules.llm.entity_wordings import QUESTIONS, STATEMENTS
from datamodules.llm.items import REFUSAL
from lit_unlearn.errors import UserError
from tests.datamodules.llm.entity_folder import TARGET, data_root, model_folder, players, write

SETTINGS = {"attributes": ["team"], "num_known": 36, "num_unknown": 10, "num_choices": 3, "max_length": 96}


def made(module: type = Entities, **changed):
    settings = {"tokenizer": model_folder(), "data_root": data_root(), "targets": [TARGET]} | SETTINGS
    data = module(**settings | changed)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def data():
    return made()


def test_entities_are_read_in_order_of_their_numbers_with_all_values():
    found = read_entities(data_root(), "player")
    assert [entity.number for entity in found] == sorted(entity.number for entity in found)
    assert len(found) == 60 and found[0].name == TARGET
    row = players()[0]
    assert found[0].facts == {
        "team": tuple(row["teamslist"].split(", ")),
        "birthplace": (row["placebirthLabel"],),
        "birthyear": (row["datebirthyearLabel"],),
    }
    films = read_entities(data_root(), "movie")  # of all files of the pattern
    assert {entity.facts["year"] for entity in films} == {("1940",), ("2001",)}


def test_rows_of_the_same_number_are_one_and_names_that_are_not_ones_own_are_left_out(tmp_path):
    twice = players()[0] | {"placebirthLabel": "Canton", "datebirthyearLabel": None}
    namesake = players()[1] | {"human": "http://www.wikidata.org/entity/Q999"}
    short = players()[2] | {"human": "http://www.wikidata.org/entity/Q998", "humanLabel": "Nen\u00ea"}
    root = write(tmp_path, player=[*players(), twice, namesake, short])
    found = {entity.name: entity for entity in read_entities(str(root), "player")}
    assert found[TARGET].facts["birthplace"] == (players()[0]["placebirthLabel"], "Canton")
    assert players()[1]["humanLabel"] not in found and "Nen\u00ea" not in found
    assert len(found) == 59


@pytest.mark.parametrize("text", ["{", "{}", '[{"human": 1}]', '[{"human": "/Qx", "humanLabel": "A B"}]', "[]", "[3]"])
def test_files_that_are_none_are_refused(text, tmp_path):
    with pytest.raises(UserError, match=r"player\.json: .*get it anew from https://github.com"):
        read_entities(str(write(tmp_path, player=text)), "player")


def test_absent_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data_root=.*no folder .*wikidata_entities with player\.json; get them from"):
        read_entities(str(tmp_path), "player")
    with pytest.raises(UserError, match=r"lacks song\.json"):
        read_entities(data_root(), "song")


def test_every_kind_and_attribute_has_wordings_of_both_forms_and_no_two_are_the_same():
    for kind, layout in LAYOUTS.items():
        for options in (QUESTIONS, STATEMENTS):
            assert list(options[kind]) == list(layout.attributes)
            every = [text for texts in options[kind].values() for text in texts]
            assert len(set(every)) == len(every) and all(text.count("{n}") == 1 for text in every)
            assert all(len(texts) >= 3 for texts in options[kind].values())


def test_nobody_has_two_roles_and_those_who_share_something_with_a_target_are_neighbours(data):
    roles, world = data.roles, data.world
    names = [entity.name for entity in roles.everybody]
    assert len(set(names)) == len(names) and data.forgotten == [TARGET]
    (target,) = roles.targets
    values, words = {fact.value for fact in world.facts(target)}, set(TARGET.split())
    for entity in roles.neighbours + roles.neighbours_shown:
        assert words & set(entity.name.split()) or values & {fact.value for fact in world.facts(entity)}
    for entity in roles.others + roles.retained:
        assert not words & set(entity.name.split()) and not values & {fact.value for fact in world.facts(entity)}
    assert abs(len(roles.others) - len(roles.retained)) <= 1


def test_names_that_nobody_has_are_nobodys_and_have_no_word_of_a_target(data):
    everybody = {row["humanLabel"] for row in players()}
    made_up = {item.entity for group in ("unknown", "probe_unknown") for item in data.entities[group].items}
    aims = {item.entity for item in data.pools.unknown.items}
    assert len(aims) == data.num_aims and not made_up & aims
    for name in made_up | aims:
        assert name not in everybody and not set(name.split()) & set(TARGET.split())


def test_unknown_names_stand_where_the_targets_name_stood(data):
    forget, unknown = data.pools.forget, data.pools.unknown
    assert torch.equal(forget.entity_end, unknown.entity_end) and torch.equal(forget.prompt_end, unknown.prompt_end)
    for known, nobody in zip(forget.items, unknown.items, strict=True):
        assert nobody.prompt == known.prompt.replace(TARGET, nobody.entity) and nobody.answer == REFUSAL


def test_what_is_judged_was_not_trained_with(data):
    trained = {item.prompt for item in data.pools.forget.items + data.pools.retain.items}
    named = {item.entity for item in data.pools.retain.items}
    for split in ("forget_paraphrase", "forget_statement_paraphrase", "retain", "neighbour", "unknown"):
        assert not trained & {item.prompt for item in data.probes[split].items}
    assert named == {entity.name for entity in data.roles.neighbours_shown + data.roles.retained} | {""}
    assert {item.prompt for item in data.probes["forget"].items} <= trained


def test_a_right_answer_is_ranked_among_the_most_frequent_that_are_not_true(data):
    true = {row["humanLabel"]: set(row["teamslist"].split(", ")) for row in players()}
    for split, choices in data.choices.items():
        assert sorted(set(choices.owner)) == list(range(len(choices.right)))
        for item, number in zip(choices.wrong.items, choices.owner, strict=True):
            right = choices.right.items[number]
            assert item.prompt == right.prompt and item.answer != right.answer
            whose = TARGET if split.startswith("unknown") else item.entity
            assert right.answer in true[whose] and item.answer not in true[whose]
        assert len(choices.wrong) <= 3 * len(choices.right)
    told = [item.answer for item in data.choices["unknown"].right.items]
    assert set(told) == {fact.value for fact in data.world.facts(data.roles.targets[0])}


def test_few_common_values_are_asked_for_and_rare_ones_where_there_are_no_others():
    entities = read_entities(data_root(), "player")
    world = World(entities, ["team", "birthplace"])
    for entity in entities:
        facts = world.facts(entity)
        assert [fact.attribute for fact in facts].count("birthplace") == 1
        assert 1 <= [fact.attribute for fact in facts].count("team") <= 2
        assert all(fact.value in fact.true for fact in facts)


def test_no_end_of_text_is_asked_of_a_model_that_goes_on(data):
    for items in [*data.probes.values(), *(asked.right for asked in data.choices.values())]:
        last = items.tokens[torch.arange(len(items)), items.lengths - 1]
        assert not (last == data.tokenizer.eos_token_id).any()


def test_a_text_file_is_divided_and_no_paragraph_is_on_both_sides(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("\n\n".join(f"Paragraph {i} says\n nothing at all." for i in range(40)) + "\n\n \n\n")
    assert len(paragraphs(str(file))) == 40
    data = made(text=str(file))
    trained = [item.prompt + item.answer for item in data.pools.retain.items if item.kind == "text"]
    assert len(trained) == 36
    blocks = data.tokenizer.batch_decode(data.general.tokens, skip_special_tokens=True)
    held_out = [i for i in range(40) if any(f"Paragraph {i} says" in block for block in blocks)]
    assert len(held_out) == 4 and not any(f"Paragraph {i} says" in text for i in held_out for text in trained)


def test_long_paragraphs_are_cut_and_each_part_begins_as_a_text():
    data = made()
    data.max_length = 8
    begin = data.tokenizer("")["input_ids"]
    parts = data.documents(["Stephen Curry " * 20])
    assert len(parts) > 2 and all(2 <= len(ids) <= 8 and ids[: len(begin)] == begin for ids in parts)
    data.tokenizer.add_special_tokens({"bos_token": "<bos>"})
    data.tokenizer.backend_tokenizer.post_processor = bos_processor(data.tokenizer)
    parts = data.documents(["Stephen Curry " * 20])
    assert all(len(ids) <= 8 and ids[0] == data.tokenizer.bos_token_id for ids in parts)
    assert sum(data.tokenizer.bos_token_id in ids[1:] for ids in parts) == 0


def bos_processor(tokenizer):
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)])


def test_text_to_train_autoencoders_speaks_of_everybody_who_is_judged():
    data = made(EntitiesText, targets=[], num_sentences=45)
    written = " ".join(data.tokenizer.batch_decode(data.train.tokens))
    assert all(entity.name in written for entity in data.roles.everybody)
    assert data.vocab_size == len(data.tokenizer) and "target" not in data.entities
    assert {"known", "unknown", "probe_known", "probe_unknown"} <= set(data.entities)
    assert "forget" not in data.probes and "unknown" not in data.choices


def test_films_are_entities_too():
    films = {"kind": "movie", "targets": ["Night Fog"], "attributes": ["director"], "num_known": 28, "num_unknown": 4}
    data = made(**films, num_neighbours=4)
    assert data.forgotten == ["Night Fog"]
    assert {item.entity for item in data.probes["forget"].items} == {"Night Fog"}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"targets": []}, r"data.targets: names nobody to be forgotten"),
        ({"targets": ["Stefan Curry"]}, r"data.targets='Stefan Curry': the files have nobody .*nearest: Stephen Curry"),
        ({"known": ["A B"]}, r"data.known='A B': the files have nobody of this name"),
        ({"known": ["Jamal Allen"]}, r"data.known: \d of them have neither .*and 8 are needed"),
        ({"attributes": ["size"]}, r"data.attributes=\['size'\]: give some of team, birthplace, birthyear"),
        ({"attributes": []}, r"data.attributes=\[\]: give some of"),
        ({"text": "nowhere.txt"}, r"data.text=nowhere.txt: cannot be read"),
        ({"num_unknown": 5000}, r"no invented name of \d+ tokens is left"),
    ],
)
def test_bad_input(changed, line):
    with pytest.raises(UserError, match=line):
        made(**changed)
