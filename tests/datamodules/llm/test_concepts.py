"""Concepts to be forgotten: what is asked at the end, what is held out, and batches of two views."""

import pytest
import torch

from datamodules.llm.concepts.base import ConceptPools, named
from datamodules.llm.concepts.biographies import ConceptBiographies
from datamodules.llm.concepts.named import NamedConcepts
from datamodules.llm.concepts.tofu import ConceptTofu
from lit_unlearn.errors import UserError
from tests.datamodules.llm.test_tofu import SMALL, root, tokenizer
from tests.llm_data import WORLD, model_folder


def people(**changed) -> ConceptBiographies:
    data = ConceptBiographies(
        **{"tokenizer": model_folder(), "max_length": 40, "batch_size": 8, "retain_batch_size": 6} | WORLD | changed
    )
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def data() -> ConceptBiographies:
    return people()


def test_held_out_relations_are_nowhere_in_what_is_trained_with(data):
    values = {data.world.people[i].facts[a] for i in data.people.targets for a in ("employer", "instrument")}
    assert not [item for item in data.pools.forget.items if item.answer.removesuffix(".") in values]
    assert not [text for texts in data.written.values() for text in texts if any(f" {v}." in text for v in values)]
    assert len(data.pools.forget) == len(data.pools.refusal) == len(data.pools.unknown) == len(data.pools.guess)
    everything = people(heldout_families=[])
    assert len(everything.pools.forget) == len(data.pools.forget) + 3 * 2 * 9
    assert not [name for name in everything.recall if "heldout" in name and name.startswith("edge")]


def test_what_is_asked_about_edges(data):
    for name, families in (("trained", 4), ("heldout", 2), ("paraphrase", 4), ("heldout_paraphrase", 2)):
        items = data.recall[f"edge_recall/{name}"].items
        assert len(items) == 3 * families * 2
        assert all(item.entity in data.forgotten and item.entity in item.prompt for item in items)
    asked = {item.prompt for items in (data.pools.forget, data.pools.retain) for item in items.items}
    held_out = [item.prompt for name in ("heldout", "paraphrase", "heldout_paraphrase")
                for item in data.recall[f"edge_recall/{name}"].items]  # fmt: skip
    assert not asked & set(held_out)


def test_what_is_asked_about_nodes_does_not_name_them(data):
    for split, facts in (("trained", 1), ("heldout", 1), ("one_fact", 1), ("two_facts", 2), ("three_facts", 3)):
        for item in data.recall[f"node_recall/{split}"].items:
            name = item.answer.removesuffix(".")
            assert name in data.forgotten and name not in item.prompt
            person = next(person for person in data.world.people if person.name == name)
            assert sum(value in item.prompt.rstrip("?") for value in person.facts.values()) >= facts


def test_hops_lead_through_the_concept(data):
    assert len(data.hops.first) == len(data.hops.second) == 3 * 5
    for first, second in zip(data.hops.first.items, data.hops.second.items, strict=True):
        assert first.answer == f"{second.entity}." and second.entity not in first.prompt


def test_nobody_who_is_judged_with_may_be_trained_with(data):
    judged = {item.entity for split in ("retain", "neighbour") for item in data.probes[split].items}
    assert judged == set(data.held_out)
    assert {item.entity for item in data.generic} & (judged | set(data.forgotten)) == set()


def test_batches_of_two_views_and_their_order(data):
    given = people()
    forget = given.pools.forget
    given.train_on([20, len(forget) - 20], forget, given.pools.refusal, given.pools.retain)
    batches = list(given.train_dataloader())
    assert len(batches) == 5  # of four edges each
    edges = torch.cat([batch.forget.item[batch.forget.item < 20] for batch in batches])
    assert sorted(edges.tolist()) == list(range(20))
    for batch in batches:
        assert [(batch.forget.item < 20).sum(), (batch.forget.item >= 20).sum()] == [4, 4]
        assert torch.equal(batch.forget.item, batch.refusal.item) and len(batch.retain.item) == 6
    again = list(given.train_dataloader())
    assert all(torch.equal(a.forget.tokens, b.forget.tokens) for a, b in zip(batches, again, strict=True))


def test_one_view_takes_the_whole_batch(data):
    given = people()
    forget, retain = given.pools.forget, given.pools.retain
    given.train_on([len(forget)], forget, given.pools.refusal, retain)
    assert len(next(iter(given.train_dataloader())).forget.item) == 8


def test_what_a_method_gave_stays_when_the_trainer_sets_up_again():
    given = people()
    given.train_on([len(given.pools.forget)], given.pools.forget, given.pools.refusal, given.pools.retain)
    given.setup("fit")
    assert isinstance(given.pools, ConceptPools)


def test_aliases():
    assert named(["A", "B"], {"A": ["C"]})[0].aliases == ("C",) and named(["A"], None)[0].aliases == ()
    with pytest.raises(UserError, match=r"^data.aliases='D': no concept of this name is to be forgotten; those are A$"):
        named(["A"], {"D": ["E"]})


def author(**changed) -> ConceptTofu:
    settings = {"data_root": root(), "tokenizer": tokenizer(), "retain_batch_size": 4, "num_generic": 5} | SMALL
    data = ConceptTofu(**settings | {"max_length": 96} | changed)
    data.setup("fit")
    return data


def test_one_author_of_tofu():
    data = author(forget="forget10")
    (concept,) = data.concepts
    assert data.forgotten == [concept.name] and len(data.pools.forget) == 20
    assert all(item.entity == concept.name for item in data.recall["edge_recall/heldout"].items)
    assert len(data.recall["edge_recall/paraphrase"]) == len(data.recall["edge_recall/heldout"])
    nodes = data.recall["node_recall/heldout"].items
    assert nodes and all(concept.name in item.answer and concept.name not in item.prompt for item in nodes)
    assert len(data.generic) == 5 and concept.name not in data.held_out and data.held_out
    assert len(data.probes["forget"]) == 20 and len({item.entity for item in data.probes["forget"].items} - {""}) == 1


def test_an_author_who_is_not_to_be_forgotten():
    with pytest.raises(UserError, match=r"^data.concept='Nobody': is not in forget01; its authors are \S+"):
        author(forget="forget01", concept="Nobody")


ROWS = ["split,prompt,answer,entity", "forget,Where was Ada born?,London.,Ada", "forget,Who wrote Note G?,Ada.,",
        "retain,Where was Bo born?,Oslo.,Bo", 'neighbour,"Where, then, was Cy born?",Rome.,Cy']  # fmt: skip


def of_my_own(folder, rows=ROWS, text="The river.\n\nA mill.", **changed) -> NamedConcepts:
    (folder / "concepts").mkdir(exist_ok=True)
    (folder / "concepts" / "questions.csv").write_text("\n".join(rows))
    (folder / "concepts" / "text.txt").write_text(text)
    settings = {"tokenizer": model_folder(), "data_root": str(folder), "concepts": ["Ada"], "max_length": 40}
    data = NamedConcepts(**settings | changed)
    data.setup("fit")
    return data


def test_concepts_of_my_own(tmp_path):
    data = of_my_own(tmp_path)
    assert [item.prompt for item in data.recall["edge_recall/heldout"].items] == ["Where was Ada born?"]
    assert [item.prompt for item in data.recall["node_recall/heldout"].items] == ["Who wrote Note G?"]
    assert data.held_out == ["Bo", "Cy"] and data.forgotten == ["Ada"]
    assert data.probes["neighbour"].items[0].prompt == "Where, then, was Cy born?"
    assert len(data.general.tokens) == 1 and len(data.pools.forget) == 2


def test_questions_that_cannot_be_read(tmp_path):
    with pytest.raises(
        UserError, match=r"questions.csv: has no column entity; columns: split, prompt, answer, entity$"
    ):
        of_my_own(tmp_path, ["split,prompt,answer", "forget,a,b"])
    with pytest.raises(UserError, match=r"questions.csv: has no rows of split retain, neighbour; give some of each$"):
        of_my_own(tmp_path, ROWS[:3])
    with pytest.raises(UserError, match=r"questions.csv, line 3: split, prompt or answer is empty; fill it in$"):
        of_my_own(tmp_path, [*ROWS[:2], "forget,,b,"])
    with pytest.raises(UserError, match=r"text.txt: empty; give general text"):
        of_my_own(tmp_path, text="\n\n")
    with pytest.raises(UserError, match=r"^data.concepts=\[\]: names nothing to be forgotten; give a name$"):
        of_my_own(tmp_path, concepts=[])
    with pytest.raises(UserError, match=r"^data_root=\S+nowhere: concepts/questions.csv cannot be read .*text"):
        NamedConcepts(model_folder(), ["Ada"], str(tmp_path / "nowhere")).setup("fit")
