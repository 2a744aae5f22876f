"""Whatever a user names: concepts, and a file of questions that forgetting is judged by.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

import csv
from pathlib import Path

import torch

from datamodules.llm.concepts.base import ConceptDataModule, named
from datamodules.llm.items import REFUSAL, Item
from datamodules.llm.packing import PackedText
from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.errors import UserError

COLUMNS = ("split", "prompt", "answer", "entity")
NEEDED = ("forget", "retain", "neighbour")


class NamedConcepts(ConceptDataModule):
    """A person, an event, a thing of the user's own, for a model of the hub.

    The questions are never trained with by a method that finds its own texts; others train with those of `forget` and
    `retain`, by which they are then judged.

    Args:
        tokenizer: folder or hub name of the language model.
        concepts: names, as texts have them.
        data_root: folder of all data sets; the files are in `<data_root>/concepts`. questions.csv has the columns
            split, prompt, answer, entity (the name that the prompt is about, may be empty), and the splits forget,
            retain, neighbour, and what else is to be judged; of forget, those that name no concept ask for its name.
            text.txt is general text, an empty line between documents, for perplexity.
        aliases: other names, by name; what else a concept is called is not found.
        shared: see `ConceptDataModule`.
    """

    def __init__(
        self,
        tokenizer: str,
        concepts: list[str],
        data_root: str,
        aliases: dict[str, list[str]] | None = None,
        **shared,
    ):
        super().__init__(**shared)
        self.path, self.names, self.folder = tokenizer, concepts, Path(data_root, "concepts")
        self.aliases, self.heldout_families = aliases, []

    def setup(self, stage: str) -> None:
        if hasattr(self, "pools"):  # a method may have given others
            return
        if not self.names:
            raise UserError("data.concepts=[]: names nothing to be forgotten; give a name")
        self.concepts = named(list(dict.fromkeys(self.names)), self.aliases)
        self.forgotten = [concept.name for concept in self.concepts]
        splits = read_questions(self.folder / "questions.csv")
        self.tokenizer = load_tokenizer(self.path)
        self.probes = {split: self.encoded(items) for split, items in splits.items()}
        self.entities, self.written, self.generic = {}, {name: [] for name in self.forgotten}, []
        self.held_out = sorted({item.entity for item in splits["retain"] + splits["neighbour"]} - {""})
        asked = splits["forget"]
        called = [name for concept in self.concepts for name in (concept.name, *concept.aliases)]
        edges = [item for item in asked if any(name in item.prompt for name in called)]
        recall = {"edge_recall/heldout": edges, "node_recall/heldout": [item for item in asked if item not in edges]}
        self.recall = {name: self.encoded(items) for name, items in recall.items() if items}
        refusal = [Item(item.prompt, REFUSAL, item.entity, item.kind) for item in asked]
        self.fill(asked, refusal, refusal, splits["retain"])
        documents = [part for part in _read(self.folder / "text.txt").split("\n\n") if part.strip()]
        if not documents:
            raise UserError(f"{self.folder}/text.txt: empty; give general text, an empty line between documents")
        rows = [ids[: self.max_length] for ids in self.tokenizer(documents)["input_ids"]]
        packed = PackedText(rows, self.max_length)
        self.general = packed[(torch.arange(len(packed)),)]


def read_questions(path: Path) -> dict[str, list[Item]]:
    """The rows of a CSV file by split.

    Raises:
        UserError: it cannot be read, a column or a split is absent, or a row has no prompt or no answer.
    """
    reader = csv.DictReader(_read(path).splitlines())
    absent = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if absent:
        raise UserError(f"{path}: has no column {', '.join(absent)}; columns: {', '.join(COLUMNS)}")
    splits: dict[str, list[Item]] = {}
    for number, row in enumerate(reader, 2):
        if not (row["split"] and row["prompt"] and row["answer"]):
            raise UserError(f"{path}, line {number}: split, prompt or answer is empty; fill it in")
        item = Item(row["prompt"].strip(), row["answer"].strip(), (row["entity"] or "").strip())
        splits.setdefault(row["split"], []).append(item)
    absent = [split for split in NEEDED if split not in splits]
    if absent:
        raise UserError(f"{path}: has no rows of split {', '.join(absent)}; give some of each")
    return splits


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"data_root={path.parent.parent}: concepts/{path.name} cannot be read ({error}); write questions.csv "
            f"(columns {', '.join(COLUMNS)}) and text.txt in {path.parent}"
        ) from error
