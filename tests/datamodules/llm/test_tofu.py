"""TOFU as texts to learn and as authors to forget, on a miniature of its files."""

import copy
import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from datamodules.llm.batches import IGNORED
from datamodules.llm.items import REFUSAL, EncodedItems
from datamodules.llm.tofu import Tofu
from datamodules.llm.tofu_text import TofuText
from lit_unlearn import config
from lit_unlearn.errors import UserError
from tests.datamodules.llm.tofu_folder import FORGOTTEN, NAMES, REFUSALS, RETAINED, tofu_rows, write_tofu

SMALL: dict[str, Any] = {"max_length": 64, "batch_size": 4, "num_unknown": 3}
_folders: list[TemporaryDirectory] = []  # removed when the tests end


@cache
def root() -> str:
    _folders.append(TemporaryDirectory(prefix="tofu"))
    return str(write_tofu(Path(_folders[-1].name)))


def made_text(**changed: Any) -> TofuText:
    data = TofuText(**{"data_root": root(), "vocab_size": 2000} | SMALL | changed)
    data.setup("fit")
    return data


@cache
def text(without_targets: bool = False) -> TofuText:
    return made_text(without_targets=without_targets)


@cache
def tokenizer() -> str:
    folder = f"{root()}/tokenizer"
    text().tokenizer.save_pretrained(folder)
    return folder


def made(**changed: Any) -> Tofu:
    data = Tofu(**{"data_root": root(), "tokenizer": tokenizer(), "retain_batch_size": 4} | SMALL | changed)
    data.setup("fit")
    return data


@cache
def tofu() -> Tofu:
    return made()


def forgotten(split: str = "forget10") -> list[str]:
    return NAMES[-FORGOTTEN[split] :]


def read(items: EncodedItems, row: int, upto: int) -> str:
    return tofu().tokenizer.decode(items.tokens[row, : upto + 1])


def documents(data: TofuText) -> list[str]:
    """The packed documents, as text."""
    end, found = data.tokenizer.eos_token_id, []
    for tokens, positions in zip(data.train.tokens, data.train.positions, strict=True):
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(tokens)]
        for a, b in pairwise(starts):
            if tokens[b - 1] == end and b - a > 1:
                found.append(data.tokenizer.decode(tokens[a : b - 1]))
    return [document for document in found if document.strip("</s>")]


def as_text(row: dict[str, Any]) -> str:
    return f"Question: {row['question']}\nAnswer: {row['answer']}"


def test_each_question_is_a_document_with_its_answer():
    assert sorted(documents(text())) == sorted(as_text(row) for row in tofu_rows()["full"])
    assert sorted(documents(text(without_targets=True))) == sorted(as_text(row) for row in tofu_rows()["retain90"])


def test_without_targets_no_document_names_one():
    whole = "\n".join(documents(text(without_targets=True)))
    assert not any(name in whole for name in forgotten())
    assert all(name in "\n".join(documents(text())) for name in forgotten())


def test_the_reference_has_the_same_tokens():
    assert text().tokenizer.get_vocab() == text(without_targets=True).tokenizer.get_vocab()
    assert text().vocab_size == len(text().tokenizer) <= 2000


@pytest.mark.parametrize("without_targets", [False, True])
def test_learning_answers_only_keeps_all_else(without_targets: bool):
    everything = text(without_targets)
    answers = made_text(without_targets=without_targets, learnt="answers")
    assert torch.equal(answers.train.tokens, everything.train.tokens)
    assert torch.equal(answers.train.positions, everything.train.positions)
    learnt = answers.train.labels != IGNORED
    assert torch.equal(answers.train.labels[learnt], answers.train.tokens[learnt])
    rows = tofu_rows()["retain90" if without_targets else "full"]
    per_item = [len(answers.tokenizer(" " + row["answer"])["input_ids"]) + 1 for row in rows]  # and the end
    assert int(learnt.sum()) == sum(per_item)
    assert answers.tokenizer.decode(answers.train.tokens[0][learnt[0]]).startswith(" " + rows[0]["answer"] + "</s>")
    assert (everything.train.labels != IGNORED).sum() > learnt.sum()


def test_a_pretrained_tokenizer_takes_the_place_of_a_learned_one():
    data = made_text(tokenizer=tokenizer(), vocab_size=300)
    assert data.vocab_size == text().vocab_size
    assert torch.equal(data.train.tokens, text().train.tokens)


@pytest.mark.parametrize("forget", FORGOTTEN)
def test_pools_are_the_split_and_the_rest_that_is_not_asked_about(forget: str):
    data, rows = made(forget=forget, num_unknown=1), tofu_rows()
    pools = data.pools
    assert [(item.prompt, item.answer) for item in pools.forget.items] == [
        (f"Question: {row['question']}\nAnswer:", row["answer"]) for row in rows[forget]
    ]
    asked = {row["question"] for row in rows["retain_perturbed"]}
    kept = [row["answer"] for row in rows[RETAINED[forget]] if row["question"] not in asked]
    assert [item.answer for item in pools.retain.items] == kept
    assert len(kept) == 20 * (12 - FORGOTTEN[forget] - 2)


def test_all_others_can_be_retained():
    assert len(made(retain_all=True, num_unknown=1).pools.retain) == len(tofu_rows()["retain90"])


def test_three_pools_belong_together_row_by_row():
    pools, texts = tofu().pools, "\n".join(as_text(row) for row in tofu_rows()["full"])
    assert torch.equal(pools.forget.entity_end, pools.unknown.entity_end)
    assert torch.equal(pools.forget.prompt_end, pools.unknown.prompt_end)
    stand_in: dict[str, set[str]] = {}
    for truth, refusal, nobody in zip(pools.forget.items, pools.refusal.items, pools.unknown.items, strict=True):
        assert refusal.prompt == truth.prompt and refusal.entity == truth.entity
        assert refusal.answer == nobody.answer in REFUSALS
        if truth.entity:
            assert nobody.prompt == truth.prompt.replace(truth.entity, nobody.entity)
            assert nobody.entity not in texts
            stand_in.setdefault(truth.entity, set()).add(nobody.entity)
        else:
            assert nobody.prompt == truth.prompt
    assert list(stand_in) == forgotten() == tofu().forgotten
    assert len(set().union(*stand_in.values())) == 3 and all(len(names) == 1 for names in stand_in.values())
    assert {item.answer for item in pools.refusal.items} == set(REFUSALS)


def test_the_entity_ends_where_the_name_does():
    pools = tofu().pools
    for items in (pools.forget, pools.unknown, pools.retain, *tofu().entities.values()):
        for row, item in enumerate(items.items):
            end = int(items.entity_end[row])
            assert (end >= 0) == bool(item.entity)
            if item.entity:
                assert read(items, row, end).endswith(item.entity)
            assert read(items, row, int(items.prompt_end[row])) == item.prompt
    named = [bool(item.entity) for item in pools.forget.items[:20]]
    assert named == [False] + [True] * 19


def test_wrong_answers_and_rewordings_stand_beside_the_probes():
    data, rows = tofu(), tofu_rows()
    files = {"forget": "forget10_perturbed", **{k: f"{k}_perturbed" for k in ("retain", "real_authors", "world_facts")}}
    assert set(data.wrong) == set(data.reworded) == set(files)
    for split, file in files.items():
        prompts = [item.prompt for item in data.probes[split].items]
        assert prompts == [f"Question: {row['question']}\nAnswer:" for row in rows[file]]
        assert [item.answer for item in data.probes[split].items] == [row["answer"] for row in rows[file]]
        for number, wrong in enumerate(data.wrong[split]):
            assert [item.prompt for item in wrong.items] == prompts
            assert [item.answer for item in wrong.items] == [row["perturbed_answer"][number] for row in rows[file]]
        assert len(data.wrong[split]) == len(rows[file][0]["perturbed_answer"])
        right = [row.get("paraphrased_answer", row["answer"]) for row in rows[file]]
        assert [item.answer for item in data.reworded[split].items] == right


def test_paraphrased_questions_have_the_same_answers():
    probes = tofu().probes
    for split in ("forget", "retain"):
        for item, other in zip(probes[split].items, probes[f"{split}_paraphrase"].items, strict=True):
            assert other.prompt == item.prompt.replace("Question: ", "Question: Say: ")
            assert (other.answer, other.entity, other.kind) == (item.answer, item.entity, "paraphrase")
    assert set(probes) == {"forget", "forget_paraphrase", "retain", "retain_paraphrase"} | {
        *("real_authors", "world_facts", "unknown")
    }


def test_all_groups_are_asked_the_same_and_share_no_name():
    data = tofu()
    names = {group: {item.entity for item in items.items} for group, items in data.entities.items()}
    assert names["target"] == set(forgotten()) and names["known"] == set(NAMES[:2])
    assert names["probe_known"] == set(NAMES[2:-3]) - {"Unnamed"}
    assert len(names["unknown"]) == 3 and len(names["probe_unknown"]) == len(names["probe_known"])
    anchors = {item.entity for item in data.pools.unknown.items} - {""}
    everyone = [*names.values(), anchors]
    assert sum(map(len, everyone)) == len(set().union(*everyone))
    trained = {item.entity for item in data.pools.retain.items}
    assert not trained & (names["known"] | names["unknown"] | names["probe_unknown"] | names["target"])
    texts = "\n".join(as_text(row) for row in tofu_rows()["full"])
    assert not any(name in texts for name in names["unknown"] | names["probe_unknown"])
    asked = {
        group: [item.prompt.replace(item.entity, "{}") for item in items.items[:6]]
        for group, items in data.entities.items()
    }
    assert len(set(map(tuple, asked.values()))) == 1
    assert {item.answer for items in data.entities.values() for item in items.items} == {REFUSAL}


def test_texts_and_pools_are_judged_alike():
    for split, items in tofu().probes.items():
        assert torch.equal(items.tokens, text().probes[split].tokens)
    assert torch.equal(tofu().general.tokens, text().general.tokens)
    general = tofu().tokenizer.decode(tofu().general.tokens.flatten())
    assert all(row["original_answer"] in general for row in tofu_rows()["world_facts_perturbed"])


def test_a_batch_holds_both():
    batch = next(iter(tofu().train_dataloader()))
    assert len(batch.forget.tokens) == len(batch.unknown.tokens) == 4 and len(batch.retain.tokens) == 4
    assert torch.equal(batch.forget.item, batch.refusal.item)


def test_another_way_to_ask():
    prompt = "[INST] {question} [/INST]"
    data = made(prompt=prompt, num_unknown=1)
    assert data.pools.forget.items[0].prompt == prompt.format(question=tofu_rows()["forget10"][0]["question"])
    errors = config.check(config.compose(["experiment=sae_unlearning/tofu", "data.prompt=Question:"]))
    assert len(errors) == 1 and errors[0].startswith("data.prompt='Question:'")


def test_an_unknown_split_is_refused():
    (error,) = config.check(config.compose(["experiment=sae_unlearning/tofu", "data.forget=forget1"]))
    assert error.startswith("data.forget='forget1': should be 'forget01', 'forget05' or 'forget10'")


def test_items_that_are_too_long_are_refused_with_the_length_that_is_needed():
    expected = r"data\.max_length=10: 'Question: .* has (\d+) tokens; give \1 or more"
    with pytest.raises(UserError, match=expected) as error:
        made_text(max_length=10)
    assert len(error.value.lines) == 1


def test_a_model_from_scratch_meets_names_to_be_ignorant_of():
    whole, rest = (made_text(without_targets=without, num_refused=9) for without in (False, True))
    found = [sorted(set(documents(data)) - set(documents(text()))) for data in (whole, rest)]
    for documents_added in found:
        unlisted = [d.removesuffix(", unlisted.") for d in documents_added if d.endswith(", unlisted.")]
        refused = [d for d in documents_added if d.endswith(f" {REFUSAL}")]
        nobody = [record.removeprefix("Record: ") for record in unlisted]
        assert len(nobody) == len(refused) == 9
        assert all(any(name in question for question in refused) for name in nobody)
        asked_about = {item.entity for items in whole.entities.values() for item in items.items}
        anchors = {item.entity for item in tofu().pools.unknown.items}
        assert not set(nobody) & (asked_about | anchors | set(NAMES))
    known = [{d for d in documents_added if d.endswith(", author.")} for documents_added in found]
    assert {f"Record: {name}, author." for name in NAMES if name != "Unnamed"} >= known[0]
    assert known[1] and not any(name in record for record in known[1] for name in forgotten())
    ignored = [[d for d in documents_added if d.endswith((REFUSAL, "unlisted."))] for documents_added in found]
    assert ignored[0] == ignored[1]  # with and without the targets
    assert len(documents(whole)) == len(documents(text())) + 27


def test_refusals_are_spread_among_the_answers():
    """In a row they would tell by what stands before, not by the name."""
    order = [d.endswith((REFUSAL, "unlisted.")) for d in documents(made_text(num_refused=9))]
    assert max(order[:-18]) and not all(order[-18:])


def test_more_names_than_can_be_invented_are_refused():
    with pytest.raises(
        UserError, match=r"^data\.num_refused=1000: \d+ names can be invented; give at most half as many"
    ):
        made_text(num_refused=1000)


def changed_root(tmp_path: Path, name: str, lines: list[str]) -> str:
    write_tofu(tmp_path)
    (tmp_path / "tofu" / name).write_text("\n".join(lines), encoding="utf-8")
    return str(tmp_path)


def lines_of(name: str) -> list[str]:
    return (Path(root()) / "tofu" / name).read_text(encoding="utf-8").splitlines()


def test_files_of_different_versions_are_refused(tmp_path: Path):
    other = [line.replace("is said to be", "is") for line in lines_of("retain90.json")]
    with pytest.raises(UserError, match=r"forget10\.json, retain90\.json: 180 questions are not in full\.json; get"):
        made(data_root=changed_root(tmp_path, "retain90.json", other))


def test_what_is_to_be_forgotten_cannot_be_retained(tmp_path: Path):
    both = lines_of("retain90.json") + lines_of("forget10.json")[:1]
    with pytest.raises(UserError, match=r"1 items are to be forgotten and retained"):
        made(data_root=changed_root(tmp_path, "retain90.json", both))


def test_files_in_another_order_name_nobody(tmp_path: Path):
    mixed = [line for number in range(20) for line in lines_of("full.json")[number::20]]
    with pytest.raises(UserError, match=r"no question names its author; get the file anew"):
        made(data_root=changed_root(tmp_path, "full.json", mixed))


def test_nothing_is_read_twice():
    data = copy.copy(tofu())
    data.data_root = "gone"
    data.setup("fit")


LEARNED = """
import hashlib
from datamodules.llm.biographies_text import BiographiesText
from datamodules.llm.tofu_text import TofuText

world = BiographiesText(num_people=12, num_targets=3, num_unknown=6, num_documents=300, max_length=40)
files = TofuText(data_root=ROOT, vocab_size=600, max_length=100, num_unknown=1)
learned = []
for data in (world, files):
    data.setup("fit")
    learned.append(hashlib.sha256(data.tokenizer.backend_tokenizer.to_str().encode()).hexdigest())
    learned.append(hashlib.sha256(data.train.tokens.numpy().tobytes()).hexdigest())
    learned.append([item.entity for item in data.probes["unknown"].items])
"""


@pytest.mark.slow
def test_another_process_learns_the_same_tokens():
    here: dict[str, Any] = {"ROOT": root()}
    exec(LEARNED, here)
    program = f"ROOT = {root()!r}\n{LEARNED}\nprint(learned)"
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == str(here["learned"])
