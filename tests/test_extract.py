"""The command `python -m lit_unlearn.extract`: what it writes, says and refuses."""

import json
from pathlib import Path

import pytest
import yaml

from lit_unlearn import config
from lit_unlearn.concepts import drawing, files
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.errors import UserError
from lit_unlearn.extract import extract
from tests.llm_data import model_folder, small_text
from tests.program import Process

NAMES = (files.CONCEPT, files.GRAPH, files.GENERATIONS, drawing.PAGE, drawing.PICTURE)
SMALL = ["samples=10", "neighbours=3", "temperature=0.3", "device=cpu", "families=[birthplace,profession]"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def known() -> str:
    return small_text().world.people[0].name


def command(output: str, *changed: str, concept: str | None = None) -> list[str]:
    model = [] if any(each.startswith("model=") for each in changed) else [f"model={model_folder(300)}"]
    return [*model, f"concept={concept or known()}", f"output={output}", *SMALL, *changed]


def test_a_concept_is_written_and_shown(capsys: pytest.CaptureFixture[str]):
    overrides = command("out")
    capsys.readouterr()  # the model may just have been made
    concept = extract(overrides)
    assert {path.name for path in Path("out").iterdir()} == set(NAMES)
    assert files.read_concept("out") == concept and concept.triplets
    header = json.loads(Path("out", files.CONCEPT).read_text().split("\n")[0])
    assert header["concept"] == known() and header["model"] == model_folder(300)
    assert header["settings"]["samples"] == 10 and "batch_size" not in header["settings"]
    assert "not checked against the paper" in header["procedure"]
    assert f"Record: birthplace {known()}" in header["prompts"]["birthplace"]["asking"]
    shown = capsys.readouterr()
    assert f"{known()}: {len(concept.triplets)} triplets" in shown.out and "out/concept.html" in shown.out
    assert "birthplace" in shown.out and "not checked against the paper" in shown.out
    assert shown.err == ""  # the bar is for terminals


def test_the_same_bytes_whatever_the_batch_size():
    extract(command("a"))
    extract(command("b", "batch_size=7"))
    extract(command("a"))  # nothing left to do
    for name in NAMES:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes(), name


def test_other_settings_and_another_model_are_refused():
    extract(command("out"))
    before = Path("out", files.CONCEPT).read_bytes()
    for changed, message in (
        (["seed=1"], "output=out: holds an extraction with other seed; give overwrite=true to replace it"),
        ([f"model={model_folder(0)}"], "written by another model"),
    ):
        with pytest.raises(UserError, match=message) as error:
            extract(command("out", *changed))
        assert len(error.value.lines) == 1
    assert Path("out", files.CONCEPT).read_bytes() == before
    extract(command("out", "seed=1", "overwrite=true", "validate_by=none"))
    assert files.read_concept("out").header["settings"]["seed"] == 1


def test_a_concept_that_the_model_does_not_know():
    with pytest.raises(UserError, match=r"concept='Quux Zyx': (unknown to the model|none of its)") as error:
        extract(command("out", "support=10", concept="Quux Zyx"))
    assert len(error.value.lines) == 1
    assert not Path("out", files.CONCEPT).exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["sampels=3"], "sampels='?3'?: no such key; did you mean samples"),
        (["samples=0"], "samples=0: should be greater than or equal to 1"),
        (["temperature=0"], "temperature=0: should be greater than 0"),
        (["prompts=recrods"], "prompts='recrods': .*did you mean records"),
        (["aliases=Ada"], "aliases='Ada': should be a valid list"),
        (["families=[birth]"], r"families=\['birth'\]: allowed: birthplace, profession"),
        (["prompts=chat"], "prompts=chat: the model's tokenizer has no chat template; give prompts=completion"),
        (["model=no/such/folder"], "^model=no/such/folder: no language model can be read there"),
        (["output=file"], "output=file: is a file; give a folder"),
        (["device=mps"], "device='mps': should be 'auto', 'cpu' or 'cuda'"),
        (["aliases=['']"], "aliases='': too short"),
    ],
)
def test_bad_input(changed: list[str], message: str):
    Path("file").write_text("")
    with pytest.raises(UserError, match=message) as error:
        extract(command("out", *changed))
    assert all("\n" not in line for line in error.value.lines)
    assert not Path("out").exists()


def test_the_defaults_are_said_once():
    given = yaml.safe_load((config.EXPERIMENTS / "extract.yaml").read_text())
    assert {key: given[key] for key in ExtractionSettings.model_fields} == ExtractionSettings().model_dump()
    assert set(given) == set(config.ExtractConfig.model_fields)


@pytest.mark.slow
def test_the_command_line(folder: Path):
    process = Process(folder / "help", "--help", program="extract")
    assert process.wait() == 0, process.output()
    for word in ("usage: python -m lit_unlearn.extract", "concept=", "  aliases ", "yes_no_auroc", "concept.graphml"):
        assert word in process.output()
    process = Process(folder / "bad", *command("out", concept="Quux Zyx"), program="extract")
    assert process.wait() == 2, process.output()
    assert process.output().startswith("error: concept='Quux Zyx'") and process.output().count("\n") == 1
