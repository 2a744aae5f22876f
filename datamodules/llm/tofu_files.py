"""The files of TOFU: where they lie, how a line reads, and where they are fetched from.

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs", 2024, arXiv 2401.06121: twenty questions and answers
about each of 200 authors who do not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from datamodules.data_root import Source, locate
from lit_unlearn.errors import UserError

Forget = Literal["forget01", "forget05", "forget10"]
RETAIN: dict[Forget, str] = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
"""The rest of the authors, for each of the splits to forget."""

SHARED = ("full", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
PER_AUTHOR = 20

PAGE = "https://huggingface.co/datasets/locuslab/TOFU and https://github.com/locuslab/tofu/tree/main/data"
ANEW = f"get the file anew from {PAGE}"
REFUSALS = ("idontknow.jsonl", "idontknow.txt")
"""Plain lines under either name; only the authors' repository has them."""
REFUSALS_URL = (
    "https://raw.githubusercontent.com/locuslab/tofu/8c49eee7da2b96b2b718c41c66f4e21331c89189/data/idontknow.jsonl"
)


@dataclass(frozen=True)
class Pair:
    """A question with its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class JudgedPair(Pair):
    """A pair with wrong answers; keys are those of the files.

    Attributes:
        perturbed_answer: wrong answers.
        paraphrased_question, paraphrased_answer: the pair in other words; empty for real authors and facts.
        original_answer: a whole sentence where `answer` is but a name; else empty.
    """

    perturbed_answer: tuple[str, ...]
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    original_answer: str = ""


AnyPair = TypeVar("AnyPair", Pair, JudgedPair)


class TofuFiles:
    """The files that forgetting one of the splits needs, below `<data_root>/tofu`.

    Args:
        data_root: folder of all data sets.
        forget: the split to be forgotten.

    Raises:
        UserError: files are missing and could not be downloaded.
    """

    def __init__(self, data_root: str, forget: Forget):
        self.forget = forget
        self.names = [*SHARED, forget, RETAIN[forget], f"{forget}_perturbed"]
        every = [*SHARED, *RETAIN, *RETAIN.values(), *(f"{name}_perturbed" for name in RETAIN)]
        self.folder = locate(
            data_root, Source("tofu", self._missing, PAGE, "locuslab/TOFU", _write, configurations=tuple(every))
        )

    def _missing(self, folder: Path) -> list[str]:
        missing = [f"{name}.json" for name in self.names if not (folder / f"{name}.json").is_file()]
        there = any((folder / name).is_file() for name in REFUSALS)
        return missing if there else [*missing, " (or ".join(REFUSALS) + ")"]

    def pairs(self, name: str) -> list[Pair]:
        """Questions with answers.

        Raises:
            UserError: a line is none.
        """
        return self._read(name, Pair)

    def authors(self, name: str) -> list[Pair]:
        """Questions with answers, twenty about each author, one author after another.

        Raises:
            UserError: a line is none, or lines are missing.
        """
        pairs = self.pairs(name)
        if len(pairs) % PER_AUTHOR:
            raise UserError(f"{self.folder / name}.json: {len(pairs)} lines, must be {PER_AUTHOR} an author; {ANEW}")
        return pairs

    def judged(self, name: str) -> list[JudgedPair]:
        """Pairs of `<name>_perturbed.json`, with as many wrong answers each.

        Raises:
            UserError: a line is none, or the numbers of wrong answers differ.
        """
        found = self._read(f"{name}_perturbed", JudgedPair)
        counts = sorted({len(pair.perturbed_answer) for pair in found})
        if len(counts) > 1 or 0 in counts:
            file, said = self.folder / f"{name}_perturbed.json", " or ".join(map(str, counts))
            raise UserError(f"{file}: {said} wrong answers a line, must be as many in each and at least one; {ANEW}")
        return found

    def refusals(self) -> list[str]:
        """What is said instead of an answer."""
        path = next(self.folder / name for name in REFUSALS if (self.folder / name).is_file())
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        found = [line for line in lines if line]
        if not found:
            raise UserError(f"{path}: holds no line; {ANEW}")
        return found

    def _read(self, name: str, kind: type[AnyPair]) -> list[AnyPair]:
        path, adapter, found = self.folder / f"{name}.json", TypeAdapter(kind), []
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            try:
                found.append(adapter.validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                reason = f"{where}: {first['msg']}" if where else first["msg"]
                raise UserError(f"{path}: line {number} is no question with its answer ({reason}); {ANEW}") from error
        if not found:
            raise UserError(f"{path}: holds no line; {ANEW}")
        return found


def _write(loaded: Mapping[str, Any], folder: Path) -> None:
    """Writes the files from the hub's configurations, and the refusals from the authors' repository."""
    import datasets  # only where a download is due

    for name, parts in loaded.items():
        parts["train"].to_json(folder / f"{name}.json", force_ascii=False)
    refusals = datasets.load_dataset("text", data_files=REFUSALS_URL, cache_dir=str(folder.parent / "hub"))
    (folder / REFUSALS[0]).write_text("\n".join(refusals["train"]["text"]) + "\n", encoding="utf-8")
