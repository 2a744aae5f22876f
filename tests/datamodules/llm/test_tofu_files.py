"""TOFU's files: read strictly, fetched whole or not at all."""

import json
from pathlib import Path

import huggingface_hub
import pytest

from datamodules.llm.tofu_files import REFUSALS_URL, TofuFiles
from lit_unlearn.errors import UserError
from tests.datamodules.llm.tofu_folder import REFUSALS, tofu_rows, write_tofu


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tofu(tmp_path)


def files(root: Path) -> TofuFiles:
    return TofuFiles(str(root), "forget05")


def change_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines), encoding="utf-8")


def test_the_files_are_read_as_they_are(root: Path):
    rows, read = tofu_rows(), files(root)
    for name in ("full", "forget05", "retain95"):
        assert [(pair.question, pair.answer) for pair in read.pairs(name)] == [
            (row["question"], row["answer"]) for row in rows[name]
        ]
    for name in ("forget05", "retain", "real_authors", "world_facts"):
        for pair, row in zip(read.judged(name), rows[f"{name}_perturbed"], strict=True):
            assert pair.perturbed_answer == tuple(row["perturbed_answer"])
            assert pair.paraphrased_question == row.get("paraphrased_question", "")
            assert pair.original_answer == row.get("original_answer", "")
    assert read.refusals() == REFUSALS


def test_only_what_the_split_needs_must_be_there(root: Path):
    for name in ("forget01", "retain99", "forget10_perturbed"):
        (root / "tofu" / f"{name}.json").unlink()
    (root / "tofu" / "idontknow.jsonl").rename(root / "tofu" / "idontknow.txt")
    assert files(root).refusals() == REFUSALS


@pytest.mark.parametrize("name", ["full.json", "retain95.json", "forget05_perturbed.json", "idontknow.jsonl"])
def test_a_missing_file_is_named(root: Path, name: str):
    (root / "tofu" / name).unlink()
    with pytest.raises(UserError, match=f"tofu lacks {name}.*; get them from .*locuslab/TOFU.*set data_root") as error:
        files(root)
    assert len(error.value.lines) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "Invalid JSON"),
        ('{"question": "Who?", "answer": "Me.', "Invalid JSON"),
        ('["Who?", "Me."]', "should be an object|valid dictionary|Input should be"),
        ('{"question": "Who?"}', "answer: "),
        ('{"question": "Who?", "answer": null}', "answer: "),
    ],
)
def test_a_line_that_is_no_pair_is_named(root: Path, line: str, reason: str):
    change_line(root / "tofu" / "retain95.json", 7, line)
    with pytest.raises(UserError, match=rf"retain95\.json: line 7 is no question.*({reason}).*; get the file anew"):
        files(root).pairs("retain95")


def test_bytes_that_are_no_text_are_a_line_that_is_no_pair(root: Path):
    path = root / "tofu" / "full.json"
    path.write_bytes(b'{"question": "\xff", "answer": "a"}\n' + path.read_bytes())
    with pytest.raises(UserError, match=r"full\.json: line 1 is no question"):
        files(root).pairs("full")


def test_authors_are_whole(root: Path):
    path = root / "tofu" / "full.json"
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:-1]))
    assert len(files(root).pairs("full")) == 239
    with pytest.raises(UserError, match=r"full\.json: 239 lines, must be 20 an author"):
        files(root).authors("full")


@pytest.mark.parametrize(("wrong", "said"), [(["a"], "1 or 5"), ([], "0 or 5")])
def test_each_question_has_as_many_wrong_answers(root: Path, wrong: list[str], said: str):
    row = tofu_rows()["forget05_perturbed"][2] | {"perturbed_answer": wrong}
    change_line(root / "tofu" / "forget05_perturbed.json", 3, json.dumps(row))
    with pytest.raises(UserError, match=rf"forget05_perturbed\.json: {said} wrong answers a line"):
        files(root).judged("forget05")


@pytest.mark.parametrize("name", ["full.json", "idontknow.jsonl"])
def test_an_empty_file_is_refused(root: Path, name: str):
    (root / "tofu" / name).write_text("\n" if name.endswith("l") else "")
    with pytest.raises(UserError, match=rf"{name}: holds no line"):
        (files(root).refusals if name.startswith("idontknow") else lambda: files(root).pairs("full"))()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub with the miniature; lists what was asked for."""
    import datasets

    rows, asked = tofu_rows(), []

    def load_dataset(repository: str, name: str = "", cache_dir: str = "", data_files: str = ""):
        asked.append(name or data_files)
        found = [{"text": line} for line in REFUSALS] if repository == "text" else rows[name]
        return datasets.DatasetDict(train=datasets.Dataset.from_list(found))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, repository, timeout: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    return asked


def test_absent_files_are_downloaded_for_all_splits(root: Path, hub: list[str], tmp_path: Path):
    fetched = tmp_path / "fetched"
    read, there = files(fetched), files(root)
    assert read.pairs("full") == there.pairs("full")  # letters with accents as well
    assert read.judged("forget05") == there.judged("forget05")
    assert read.refusals() == REFUSALS
    TofuFiles(str(fetched), "forget01")
    assert sorted(hub) == sorted([*tofu_rows(), REFUSALS_URL])
    assert [path.name for path in fetched.iterdir()] == ["tofu"]


def test_without_network_the_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"no folder .*tofu with full\.json, .*idontknow\.jsonl \(or idontknow\.txt\)"):
        files(tmp_path)
