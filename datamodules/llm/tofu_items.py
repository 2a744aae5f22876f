"""What both data modules of TOFU share: its files as items, what a model is asked at the end, and about whom."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.base import LanguageDataModule
from datamodules.llm.batches import TextBatch
from datamodules.llm.items import REFUSAL, EncodedItems, Item
from datamodules.llm.packing import PackedText
from datamodules.llm.tofu_authors import InventedNames, authors
from datamodules.llm.tofu_files import ANEW, PER_AUTHOR, RETAIN, Forget, JudgedPair, Pair, TofuFiles
from lit_unlearn.errors import UserError

log = logging.getLogger(__name__)

PROMPT = "Question: {question}\nAnswer:"
"""As TOFU has it for models without a chat template."""

ASKED = (
    "Where was {name} born?",
    "What genre does {name} write in?",
    "What did the parents of {name} do for a living?",
    "Which awards has {name} won?",
    "Can you name some of the books written by {name}?",
    "How did the childhood of {name} influence the stories?",
)
"""The same questions about all, known or not, to read the states of a model at."""

JUDGED = ("forget", "retain", "real_authors", "world_facts")


class TofuDataModule(LanguageDataModule):
    """Reads TOFU, finds its authors, and fills in what language models are judged with.

    Args:
        data_root: folder of all data sets; the files are in `<data_root>/tofu`.
        forget: which authors are to be forgotten: 2, 10 or 20 of 200.
        prompt: how a question is put; a space and the answer follow.
        num_unknown: names that nobody has, to be asked about at the end.
        names_seed: draws such names; the same for all runs that are to be compared.
        shared: see `LanguageDataModule`.

    After `setup`, besides what `LanguageDataModule` names:
        wrong: by split of `probes`, lists of items with wrong answers, row by row to the same prompts as the probes.
        reworded: by the same splits, items with the right answer in other words; the answer itself for real authors
            and facts, as TOFU has it.

    The probes are `forget`, `retain`, both also as `_paraphrase` (the question in other words), `real_authors`,
    `world_facts`, and `unknown`. The authors of `retain` are the group `known`; hardly any author shares a name or
    facts with another, so there are no neighbours.
    """

    wrong: dict[str, list[EncodedItems]]
    reworded: dict[str, EncodedItems]

    def __init__(
        self,
        data_root: str,
        forget: Forget = "forget10",
        prompt: Annotated[str, Field(pattern=r"\{question\}")] = PROMPT,
        num_unknown: Annotated[int, Field(ge=1)] = 100,
        names_seed: int = 0,
        **shared,
    ):
        super().__init__(**shared)
        self.data_root, self.forget, self.prompt = data_root, forget, prompt
        self.num_unknown, self.names_seed = num_unknown, names_seed

    def read(self) -> None:
        """Reads the files and finds the authors.

        Raises:
            UserError: a file is absent or damaged, files do not belong together, or no author to be forgotten is named.
        """
        files = TofuFiles(self.data_root, self.forget)
        self.full, self.pairs_to_forget = files.authors("full"), files.pairs(self.forget)
        self.pairs_to_retain, self.refusals = files.pairs(RETAIN[self.forget]), files.refusals()
        self.judged = {name: files.judged(self.forget if name == "forget" else name) for name in JUDGED}
        named = authors(self.full)
        self.author = {pair.question: name for pair, name in zip(self.full, named, strict=True)}
        log.info(
            f"data: TOFU, {len(self.full) // PER_AUTHOR} authors of {PER_AUTHOR} questions, "
            f"the names of {len(set(named) - {''})} found in them"
        )
        strange = {*self.pairs_to_forget, *self.pairs_to_retain} - set(self.full)
        if strange or not self.named(self.pairs_to_forget):
            reason = f"{len(strange)} questions are not in full.json" if strange else "no question names its author"
            raise UserError(f"{files.folder}/{self.forget}.json, {RETAIN[self.forget]}.json: {reason}; {ANEW}")

    def fill_probes(self) -> InventedNames:
        """Fills `probes`, `wrong`, `reworded`, `entities` and `general`; gives the names that are left.

        Call `read` and set `tokenizer` before.
        """
        written = [text for pair in self.full for text in (pair.question, pair.answer)]
        names = InventedNames(self.named(self.pairs_to_retain), written, self.tokenizer, self.names_seed)
        groups = self._groups(names)
        self.probes, self.wrong, self.reworded = {}, {}, {}
        for split, pairs in self.judged.items():
            self.probes[split] = self.encoded(self.items(pairs))
            if pairs[0].paraphrased_question:
                self.probes[f"{split}_paraphrase"] = self.encoded(self._paraphrased(pairs))
            wrong = zip(*(pair.perturbed_answer for pair in pairs), strict=True)
            self.wrong[split] = [self.encoded(self.items(pairs, answers)) for answers in wrong]
            reworded = [pair.paraphrased_answer or pair.answer for pair in pairs]
            self.reworded[split] = self.encoded(self.items(pairs, reworded))
        self.entities = {group: self.encoded(self._asked_about(named)) for group, named in groups.items()}
        self.probes["unknown"] = self.entities["unknown"]
        self.general = self._general()
        return names

    def items(self, pairs: Sequence[Pair], answers: Sequence[str] | None = None) -> list[Item]:
        """Questions with their own or with other answers; the entity is the author where the question has the name."""
        answers = [pair.answer for pair in pairs] if answers is None else answers
        asked = zip(pairs, answers, strict=True)
        return [self.item(pair.question, answer, self.author.get(pair.question, "")) for pair, answer in asked]

    def item(self, question: str, answer: str, name: str) -> Item:
        """A question with an answer."""
        return Item(self.prompt.replace("{question}", question), answer, name if name in question else "")

    def _paraphrased(self, pairs: Sequence[JudgedPair]) -> list[Item]:
        asked = [
            self.item(pair.paraphrased_question, pair.answer, self.author.get(pair.question, "")) for pair in pairs
        ]
        return [replace(item, kind="paraphrase") for item in asked]

    def named(self, pairs: Sequence[Pair]) -> list[str]:
        """The authors of pairs, in order."""
        return [name for name in dict.fromkeys(self.author.get(pair.question, "") for pair in pairs) if name]

    def _groups(self, names: InventedNames) -> dict[str, list[str]]:
        target, known = self.named(self.pairs_to_forget), self.named(self.judged["retain"])
        others = [name for name in self.named(self.pairs_to_retain) if name not in known]
        return {
            "target": target,
            "known": known,
            "unknown": [names.like(name) for name in islice(cycle(target + known), self.num_unknown)],
            "probe_known": others,
            "probe_unknown": [names.like(name) for name in others],
        }

    def _asked_about(self, names: Iterable[str]) -> list[Item]:
        return [self.item(question.format(name=name), REFUSAL, name) for name in names for question in ASKED]

    def _general(self) -> TextBatch:
        """Sentences about real authors and facts, packed."""
        pairs = self.judged["real_authors"] + self.judged["world_facts"]
        texts = self.encoded([Item("", pair.original_answer or pair.answer, "", "text") for pair in pairs])
        packed = PackedText(rows(texts.tokens, texts.lengths), self.max_length)
        return packed[(torch.arange(len(packed)),)]


def rows(padded: Tensor, lengths: Tensor) -> list[list[int]]:
    """(N, T) with the lengths of the rows, to rows without padding."""
    return [row[:length] for row, length in zip(padded.tolist(), lengths.tolist(), strict=True)]
