"""Concepts that were to be forgotten, judged: hits counted by hand, with a stand-in for the extraction."""

from types import SimpleNamespace

import numpy as np
import pytest

from datamodules.llm.concepts.base import ConceptName, Hops
from lit_unlearn.concepts.triplets import Concept, Triplet
from lit_unlearn.evaluation import llm_concept
from lit_unlearn.evaluation.llm_concept import Judge
from lit_unlearn.evaluation.llm_rows import Name
from lit_unlearn.evaluation.result import Evaluation

KNOWN = {
    "before": {"Ada": [("born in", "London"), ("wrote", "Note G"), ("plays", "harp"), ("wrote", "lies")], "Bo": []},
    "after": {"Ada": [("born in", "Paris"), ("WROTE", "note g")], "Bo": []},
}
HITS = {"trained": [1, 0, 0, 0], "first": [1, 1, 0, 0], "second": [1, 0, 1, 0]}


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    def extract(model, tokenizer, name, aliases, settings):
        assert settings.prompts == "records"  # the data say how they are asked
        return Concept(name, (), tuple(Triplet(name, r, o, r) for r, o in KNOWN[model][name]))

    monkeypatch.setattr(llm_concept, "extract_concept", extract)
    monkeypatch.setattr(llm_concept, "judge", lambda model, items: SimpleNamespace(exact=np.array(HITS[items]) > 0))
    data = SimpleNamespace(
        concepts=[ConceptName("Ada"), ConceptName("Bo")],
        num_extracted=2,
        tokenizer=None,
        recall={"edge_recall/trained": "trained"},
        hops=Hops("first", "second"),  # type: ignore[arg-type]
        prompts="records",
        true_edges={"Ada": {("born in", "London"), ("wrote", "Note G"), ("plays", "harp"), ("died in", "Rome")},
                    "Bo": {("born in", "Oslo")}},
    )  # fmt: skip
    made = Judge(data)
    made.learn("before")
    return made


def test_what_is_counted(judge):
    values = {name[1:]: number.value for name, number in (judge.numbers("after") | judge.extraction()).items()}
    assert values == {
        ("edge_recall", "trained"): 0.25,
        ("multi_hop_leakage", "chained"): 0.25,
        ("residual_triplets", "share"): 2 / 4,
        ("residual_triplets", "of_before"): 1 / 4,
        ("extraction_recall", "all"): 3 / 5,
        ("extraction_precision", "all"): 3 / 4,
    }


def test_the_untouched_model_has_all_that_it_had(judge):
    numbers = judge.numbers("before")
    assert numbers[Name("concept", "residual_triplets", "of_before")].value == 1
    assert numbers[Name("concept", "residual_triplets", "share")].better == "lower"


def test_pictures_of_concepts_that_were_known(judge):
    judge.numbers("after")
    assert set(judge.pages()) == set(judge.figures()) == {"concept_ada"}
    page = judge.pages()["concept_ada"]
    assert "London" in page and "Paris" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_what_is_not_known_is_absent_and_said(judge):
    judge.data.true_edges = judge.data.hops = None
    judge.before = {"Ada": Concept("Ada", (), ())}
    assert {name.metric for name in judge.numbers("after")} == {"edge_recall"} and judge.extraction() == {}
    assert {note.split(":")[0] for note in judge.notes if "absent" in note} == {
        "extraction_precision, extraction_recall", "multi_hop_leakage", "node_recall", "residual_triplets"
    }  # fmt: skip


def test_data_that_name_no_concepts():
    judge = Judge(SimpleNamespace())
    judge.learn("before")
    assert judge.numbers("after") == judge.extraction() == judge.figures() == judge.pages() == {} and judge.notes == []


def test_pages_are_written(tmp_path):
    Evaluation([], pages={"graph": "<p>"}).write_figures(tmp_path / "figures")
    assert (tmp_path / "figures" / "graph.html").read_text() == "<p>"
