"""A world of fictitious people: a function of its numbers, with names and titles that do not mix."""

import numpy as np
import pytest

from datamodules.llm.world import ATTRIBUTES, VALUES, World
from lit_unlearn.errors import UserError

WORLD = World(num_people=80, num_targets=8, num_unknown=20)
NAMES = {
    "people": [person.name for person in WORLD.people],
    "anchors": WORLD.anchors,
    "probes": WORLD.probes,
    "unknown": WORLD.unknown,
    "refused": WORLD.refused,
}
TITLES = {"written": WORLD.written, "unwritten": WORLD.unwritten, "refused": WORLD.refused_titles}


def everything(world: World) -> list:
    lists = ("targets", "validation", "kept", "anchors", "probes", "unknown", "refused", "unwritten", "refused_titles")
    return [world.people, *(getattr(world, name) for name in lists), world.near(world.targets)]


def test_a_world_is_a_function_of_its_numbers_and_seed():
    np.random.seed(1)
    assert everything(World(80, 8, 20)) == everything(WORLD)
    for other in (World(80, 8, 20, seed=1), World(81, 8, 20), World(80, 9, 20), World(80, 8, 21)):
        assert everything(other) != everything(WORLD)


def test_the_default_is_what_is_promised():
    world = World()
    assert len(world.people) >= 200 and len(world.targets) >= 30 and len(ATTRIBUTES) >= 6


@pytest.mark.parametrize("groups", [NAMES, TITLES], ids=["names", "titles"])
def test_no_name_or_title_is_of_two_kinds(groups: dict[str, list[str]]):
    together = [name for group in groups.values() for name in group]
    assert len(set(together)) == len(together)
    assert all(groups.values())


def test_all_names_are_two_words_of_the_same_two_lists():
    first, last = ({name.split(" ")[k] for group in NAMES.values() for name in group} for k in (0, 1))
    assert not first & last
    assert all(len(name.split(" ")) == 2 for group in NAMES.values() for name in group)


def test_there_are_as_many_as_asked_for():
    assert [len(WORLD.people), len(WORLD.targets), len(WORLD.validation)] == [80, 8, 8]
    assert {len(WORLD.anchors), len(WORLD.probes), len(WORLD.unknown), len(WORLD.unwritten)} == {20}
    assert sorted(WORLD.targets + WORLD.validation + WORLD.kept) == list(range(80))


def test_everybody_has_every_attribute_and_a_book_of_his_own():
    assert all(list(person.facts) == list(ATTRIBUTES) for person in WORLD.people)
    for attribute in ATTRIBUTES:
        met = {person.facts[attribute] for person in WORLD.people}
        assert len(met) == 80 if attribute == "book" else 10 < len(met) <= VALUES


def test_neighbours_share_a_part_of_the_name_or_three_facts():
    targets = [WORLD.people[i] for i in WORLD.targets]

    def near(number: int) -> bool:
        person = WORLD.people[number]
        facts = max(sum(person.facts[a] == other.facts[a] for a in ATTRIBUTES) for other in targets)
        parts = {part for other in targets for part in other.name.split()}
        return facts >= 3 or bool(parts & set(person.name.split()))

    found = WORLD.near(WORLD.targets)
    assert found == [i for i in WORLD.kept if near(i)]
    assert 0 < len(found) < len(WORLD.kept)


def test_three_equal_facts_are_enough():
    world = World(num_people=300, num_targets=30)
    parts = {part for i in world.targets for part in world.people[i].name.split()}
    assert any(not parts & set(world.people[i].name.split()) for i in world.near(world.targets))


def test_the_graph_has_an_edge_for_every_fact():
    edges = {(name, attribute, value) for name, value, attribute in WORLD.graph.edges(keys=True)}
    assert edges == {(person.name, *fact) for person in WORLD.people for fact in person.facts.items()}
    assert WORLD.graph.number_of_edges() == 80 * len(ATTRIBUTES)
    people = {name: node["target"] for name, node in WORLD.graph.nodes(data=True) if node["kind"] == "person"}
    assert people == {person.name: i in WORLD.targets for i, person in enumerate(WORLD.people)}
    kinds = {node: data["kind"] for node, data in WORLD.graph.nodes(data=True)}
    assert all(kinds[value] == attribute for _, attribute, value in edges)


def test_too_many_targets():
    with pytest.raises(UserError, match=r"data\.num_targets=10: twice as many, and two to be kept"):
        World(num_people=21, num_targets=10)
    assert len(World(num_people=22, num_targets=10).kept) == 2
