"""A concept on disk: read back equal, byte for byte the same, resumed, and refused where it is another model's."""

import json
from pathlib import Path

import networkx
import pytest

from lit_unlearn.concepts import files
from lit_unlearn.concepts.triplets import Concept
from lit_unlearn.errors import UserError
from tests.concepts.stub import NAME, Stub
from tests.concepts.test_extraction import HEADER, extracted
from tests.llm_data import small_model


def written(folder: Path, stub: Stub | None = None) -> Concept:
    concept = extracted(stub or Stub(), folder)
    files.write_concept(folder, concept)
    return concept


def test_read_back(tmp_path: Path):
    concept = written(tmp_path)
    assert files.read_concept(tmp_path) == concept
    graph = networkx.read_graphml(tmp_path / files.GRAPH)
    assert graph.nodes[NAME]["kind"] == "concept" and graph.number_of_nodes() == 5
    edges = {(s, data["id"], o): data for s, o, data in graph.edges(data=True)}
    assert set(edges) == {(t.subject, t.relation, t.object) for t in concept.triplets}
    assert edges[NAME, "wrote", "Note G"]["cloze_node"] == 1.0
    assert graph.graph["weights"] == HEADER["weights"]


def test_the_same_bytes(tmp_path: Path):
    written(tmp_path / "a")
    written(tmp_path / "b")
    assert {p.name for p in (tmp_path / "a").iterdir()} == {files.CONCEPT, files.GRAPH, files.GENERATIONS}
    for name in (files.CONCEPT, files.GRAPH, files.GENERATIONS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_killed_extraction_goes_on(tmp_path: Path):
    class Dies(Stub):
        def write(self, prompts, samples, most_tokens, sampling, end):
            if prompts[0].startswith("others | works"):
                raise KeyboardInterrupt
            return super().write(prompts, samples, most_tokens, sampling, end)

    written(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "killed", Dies())
    assert not (tmp_path / "killed" / files.CONCEPT).exists()
    stub = Stub()
    written(tmp_path / "killed", stub)
    assert not any(prompt.startswith(("ask", "others | places")) for prompt in stub.asked)
    assert any(prompt.startswith("others | works") for prompt in stub.asked)
    for name in (files.CONCEPT, files.GRAPH, files.GENERATIONS):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    stub = Stub()
    written(tmp_path / "killed", stub)
    assert stub.asked == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"weights": "x" * 64},
            "written by another model, stub with weights wwwwwwwwwwww; this one's are xxxxxxxxxxxx",
        ),
        ({"settings": {"seed": 1}}, "holds an extraction with other seed; give overwrite=true"),
        ({"aliases": ["Countess"]}, "holds an extraction with other aliases; give overwrite=true"),
        ({"prompts": {"a": 1}}, "holds an extraction with other prompts; give overwrite=true"),
    ],
)
def test_what_another_wrote_is_not_gone_on_with(changed: dict, message: str, tmp_path: Path):
    written(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        files.Remembering(Stub(), tmp_path, HEADER | changed)
    assert len(error.value.lines) == 1
    files.Remembering(Stub(), tmp_path, HEADER | {"versions": {"python": "4"}})


def test_a_file_of_another_model_is_refused(tmp_path: Path):
    model, other = small_model(50), small_model(50, seed=1)
    concept = extracted(Stub())
    header = concept.header | {"weights": files.weights_hash(model)}
    files.write_concept(tmp_path, Concept(NAME, (), concept.triplets, header=header))
    assert files.read_concept(tmp_path, model).triplets == concept.triplets
    with pytest.raises(UserError, match="written by another model") as error:
        files.read_concept(tmp_path, other)
    assert len(error.value.lines) == 1


def test_damaged_and_foreign_files(tmp_path: Path):
    with pytest.raises(UserError, match="no such file; extract a concept: python -m lit_unlearn.extract --help"):
        files.read_concept(tmp_path)
    written(tmp_path)
    path = tmp_path / files.CONCEPT
    whole = path.read_text()
    header = json.dumps(HEADER)
    for text, message in [
        (whole[:-20], "damaged, not JSON lines"),
        ("", "damaged"),
        ("[1]\n", "damaged"),
        ('{"format": "another"}\n', "not a concept's file of this program"),
        (f'{header}\n{{"kind": "triplet", "subject": "a"}}\n', "damaged"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=message) as error:
            files.read_concept(tmp_path)
        assert len(error.value.lines) == 1 and "\n" not in error.value.lines[0]


def test_hashes():
    model = small_model(50)
    before = files.weights_hash(model)
    assert before == files.weights_hash(small_model(50)) != files.weights_hash(small_model(50, seed=1))
    weight = next(model.parameters()).data
    weight[0, 0] += 1e-6
    assert files.weights_hash(model) != before
