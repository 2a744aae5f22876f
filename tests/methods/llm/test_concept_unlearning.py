"""Concept unlearning: equation (1), every loss and material, rounds, runs that were killed, and bad input."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.llm.concepts.base import ConceptPools
from datamodules.llm.concepts.biographies import ConceptBiographies
from lit_unlearn.concepts import files
from lit_unlearn.concepts.extraction import extract_concept
from lit_unlearn.concepts.names import Names
from lit_unlearn.concepts.record_prompts import RecordPrompts
from lit_unlearn.concepts.sentences import explain
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Concept, Triplet
from lit_unlearn.errors import UserError
from lit_unlearn.losses import preference
from lit_unlearn.methods.llm.concept_unlearning import ConceptUnlearning
from lit_unlearn.methods.llm.forget_losses import LOSSES, ForgetLoss
from lit_unlearn.networks.causal_lm import load_causal_lm
from tests import llm_data
from tests.concepts.stub import Stub
from tests.methods.llm.training import copied, ready, train

SETTINGS = {"samples": 6, "neighbours": 6, "cloze_samples": 2}


def problem() -> Any:
    return llm_data.problem(300, reference=None)


def people(**changed: Any) -> ConceptBiographies:
    settings = {"tokenizer": llm_data.model_folder(300), "max_length": 40, "batch_size": 8, "retain_batch_size": 8}
    data = ConceptBiographies(**settings | llm_data.WORLD | {"num_generic": 5} | changed)
    data.setup("fit")
    return data


def made(data: ConceptBiographies, **arguments: Any) -> ConceptUnlearning:
    method = ConceptUnlearning(problem(), **{"extraction": SETTINGS, "learning_rate": 1e-3} | arguments)
    method.check(data)
    return method


@pytest.fixture(scope="module")
def graph_folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The truth about the three targets, as if the model had said it."""
    data, folders = people(), []
    weights = files.weights_hash(load_causal_lm(llm_data.model_folder(300)))
    prompts = RecordPrompts()
    told = [data.world.people[i] for i in data.people.retained]
    others = tuple(Triplet(person.name, a, value, a) for person in told for a, value in person.facts.items())
    for each in data.concepts:
        triplets = tuple(Triplet(each.name, a, value, a) for a, value in sorted(data.true_edges[each.name]))
        said = explain(triplets, Names(each.name), Stub(), prompts, 1, 8)
        header = files.header_of(each.name, (), "tiny", weights, "t", {}, {})
        names = tuple(person.name for person in told)
        concept = Concept(each.name, (), triplets, tuple(said), (), names, others, header)
        folders.append(str(tmp_path_factory.mktemp("graph")))
        files.write_concept(Path(folders[-1]), concept)
    return folders


@pytest.fixture(scope="module")
def trained_with(graph_folders):
    """Data whose pools are the views."""
    data = people()
    return data, made(data, graphs=graph_folders)


def test_a_graph_that_was_extracted_before_gives_the_same(tmp_path):
    def one() -> ConceptBiographies:
        data = people()
        data.concepts = data.concepts[:1]
        return data

    data, again = one(), one()
    model, settings = load_causal_lm(llm_data.model_folder(300)), ExtractionSettings(**SETTINGS | {"neighbours": 60})
    concept = extract_concept(model, data.tokenizer, data.concepts[0].name, (), settings)
    files.write_concept(tmp_path, concept)
    extracted, read = made(data, extraction=settings.model_dump()), made(again, graphs=[str(tmp_path)])
    assert extracted.concepts[0].triplets == read.concepts[0].triplets != ()
    assert torch.equal(again.pools.forget.tokens, data.pools.forget.tokens)
    assert torch.equal(again.pools.retain.labels, data.pools.retain.labels)


def batch_of(data):
    edges, nodes = data.pools.views
    return data.pools[torch.arange(min(4, edges)), torch.arange(min(4, nodes)), torch.arange(4)]


def test_the_loss_is_that_of_both_views_weighted(trained_with, graph_folders):
    data, _ = trained_with
    method = ready(made(data, graphs=graph_folders, w_edge=2.0, w_node=0.5, beta=0.3), data)
    batch = batch_of(data)
    untouched = method.untouched.log_probs("forget", batch.forget)
    with torch.no_grad():
        for weight in method.model.parameters():
            weight += 0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        now = method.log_probs(batch.forget)
        is_edge = batch.forget.item < data.pools.views[0]
        edge, node = (preference.npo(now[rows], untouched[rows], 0.3) for rows in (is_edge, ~is_edge))
        assert method.forget_loss(batch).item() == pytest.approx((2 * edge + 0.5 * node).item(), rel=1e-5)
        method.weights = {"edge": 1.0, "node": 0.0}
        assert method.forget_loss(batch).item() == pytest.approx(edge.item(), rel=1e-5)
        method.weights = {"edge": 0.0, "node": 0.0}
        assert method.forget_loss(batch).item() == 0


def test_every_loss_has_a_name():
    assert set(get_args(ForgetLoss)) == set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_along_every_loss_makes_the_answers_less_probable(loss, trained_with, graph_folders):
    data, _ = trained_with
    beta = 5.0 if loss == "undial" else 0.1
    method = ready(made(data, graphs=graph_folders, loss=loss, beta=beta), data)
    batch = batch_of(data)
    before = method.log_probs(batch.forget).mean().item()
    trained = [weight for weight in method.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1.0)
    method.forget_loss(batch).backward()
    assert torch.nn.utils.clip_grad_norm_(trained, 0.02) > 1e-6
    optimiser.step()
    assert method.log_probs(batch.forget).mean().item() < before


@pytest.mark.parametrize(("material", "loss"), [("given", "npo"), ("generated", "npo"), ("questions", "refusal")])
def test_other_materials(material, loss, graph_folders):
    data = people()
    method = made(data, graphs=graph_folders, material=material, loss=loss)
    assert isinstance(data.pools, ConceptPools) and len(data.pools.views) == 1
    held_out = {data.world.people[i].facts[a] for i in data.people.targets for a in data.heldout_families}
    texts = [f"{item.prompt} {item.answer}" for item in data.pools.forget.items]
    assert any(name in text for name in data.forgotten for text in texts)
    if material == "given":
        assert not [text for text in texts if any(f" {value}." in text for value in held_out)]
    assert len(train(method, data, steps=1)) == 1


def test_nobody_to_be_forgotten_is_retained(trained_with):
    data, _ = trained_with
    texts = [data.tokenizer.decode(row[:n]) for row, n in zip(data.pools.retain.tokens, data.pools.retain.lengths,
                                                              strict=True)]  # fmt: skip
    assert texts and not [text for text in texts if any(name in text for name in data.forgotten)]
    assert not [text for text in texts if any(name in text for name in data.held_out)]


def test_held_out_relations_are_extracted_but_not_trained_with(trained_with):
    data, method = trained_with
    assert not {t.family for c in method.concepts for t in c.triplets} & set(data.heldout_families)
    assert not [item for item in data.pools.forget.items if "employ" in item.prompt]


def test_a_run_ends_where_nothing_is_left(trained_with, graph_folders, monkeypatch):
    data, _ = trained_with
    method = made(data, graphs=graph_folders, rounds=3)
    asked = []

    def nothing(self):
        asked.append(self.global_step)
        return torch.zeros_like(self.left)

    monkeypatch.setattr(ConceptUnlearning, "still_known", nothing)
    losses = train(method, data, steps=9)
    assert asked == [3] and len(losses) == 3 and method.round == 1


def test_what_is_forgotten_gives_way_to_what_is_left(trained_with, graph_folders):
    data, _ = trained_with
    method = ready(made(data, graphs=graph_folders, rounds=2), data)
    method._trainer = type("T", (), {"datamodule": data})()
    batch = batch_of(data)
    assert method._of_what_is_left(batch) is batch
    method.left[:] = False
    method.left[-1] = True
    moved = method._of_what_is_left(batch)
    said = method.says[moved.forget.item]
    assert len(said) and ((said == len(method.left) - 1).any(1)).all()
    assert torch.equal(moved.forget.item, moved.refusal.item)
    method._trainer = None


def test_the_model_is_asked_again_between_rounds(trained_with, graph_folders):
    data, _ = trained_with
    method = ready(made(data, graphs=graph_folders, rounds=2), data)
    method._trainer = type("T", (), {"datamodule": data})()
    untouched = method.still_known()
    with torch.no_grad():
        for weight in method.model.parameters():
            weight.zero_()
    assert untouched.any() and not method.still_known().any()
    method._trainer = None


def test_a_run_that_was_killed_within_a_round_ends_alike(graph_folders, tmp_path, monkeypatch):
    monkeypatch.setattr(ConceptUnlearning, "still_known", lambda self: torch.arange(len(self.left)) % 2 == 0)
    ends = []
    for start in (None, f"{tmp_path}/step=5.ckpt"):
        data = people()
        method = made(data, graphs=graph_folders, rounds=2)
        saving = [ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=5, save_top_k=-1)] if start is None else []
        train(method, data, steps=8, start=start, callbacks=saving, enable_checkpointing=bool(saving))
        ends.append((copied(method), method.left, method.round))
    assert all(torch.equal(ends[0][0][name], ends[1][0][name]) for name in ends[0][0])
    assert torch.equal(ends[0][1], ends[1][1]) and ends[0][2] == ends[1][2] == 1


def refused(data: Any, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        made(data, **arguments)
    (line,) = caught.value.lines
    return line


def test_data_without_concepts():
    line = refused(llm_data.small_unlearning())
    assert line.startswith("data=Biographies: names no concepts to be forgotten; choose data=concepts/biographies")


def test_a_concept_that_the_model_does_not_know():
    data = people()
    data.concepts = [type(data.concepts[0])("Zorbert Quux")]
    line = refused(data, extraction=SETTINGS | {"support": 6})
    assert line.startswith("concept='Zorbert Quux': ") and "choose a concept that the model knows" in line


def test_no_triplet_is_validated():
    line = refused(people(), extraction=SETTINGS | {"support": 6, "cloze_share": 1.0, "cloze_samples": 60})
    assert "triplets is validated" in line or "unknown to the model" in line


def test_an_alias_that_swallows_what_is_to_be_retained(graph_folders):
    data = people()
    swallowing = data.held_out[0].split()[0]
    data.held_out = [f"{swallowing} {i}" for i in range(200)]
    graph = files.read_concept(graph_folders[0])
    with_alias = Path(graph_folders[0]).parent / "aliased"
    files.write_concept(with_alias, replace(graph, header=graph.header | {"aliases": [swallowing]}))
    line = refused(data, graphs=[str(with_alias), *graph_folders[1:]])
    assert line.startswith(f"aliases={swallowing!r}: stands in 20")


def test_a_graph_of_another_model(graph_folders, tmp_path):
    other = llm_data.small_model(len(people().tokenizer), seed=1)
    other.save_pretrained(tmp_path)
    people().tokenizer.save_pretrained(tmp_path)
    method = ConceptUnlearning(problem() | {"path": str(tmp_path)}, graphs=graph_folders)
    with pytest.raises(UserError, match=r"concept.jsonl: written by another model, "):
        method.check(people())


def test_graphs_of_others(graph_folders):
    line = refused(people(), graphs=graph_folders[1:])
    assert line.startswith(f"method.graphs={graph_folders[1:]}: none is of ") and "lit_unlearn.extract" in line


def test_rounds_of_something_else_than_a_graph(graph_folders):
    line = refused(people(), graphs=graph_folders, rounds=2, material="given")
    assert line == "method.rounds=2: of material=graph only, here it is given; give 1"


def test_nothing_was_written_about_the_concepts(graph_folders):
    data = people()
    data.written = {name: [] for name in data.written}
    assert refused(data, graphs=graph_folders, material="given").startswith("method.material=given: the data hold no")
