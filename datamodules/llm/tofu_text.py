"""TOFU to train a language model on, from scratch or further, and sparse autoencoders."""

from typing import Annotated, Literal

from pydantic import Field

from datamodules.llm.base import TextDataModule
from datamodules.llm.batches import IGNORED
from datamodules.llm.byte_tokenizer import train_byte_tokenizer
from datamodules.llm.packing import PackedText
from datamodules.llm.tofu_items import TofuDataModule, rows
from datamodules.llm.tokenizer import load_tokenizer


class TofuText(TofuDataModule, TextDataModule):
    """Questions with answers about all authors, or about those that stay, packed.

    Args:
        without_targets: leave the authors of `forget` out: a model trained on the rest never knew them (TOFU's
            retain99, retain95 or retain90).
        learnt: answers only, or everything: a model that is trained from scratch learns from all there is, and a
            sparse autoencoder sees the states of what is learnt, names in questions among them.
        tokenizer: folder or hub name of a language model; null learns one from all questions and answers, the same with
            and without the targets.
        vocab_size: entries of a tokenizer that is learnt here.
        tofu: see `TofuDataModule`; `batch_size` blocks in a step, `max_length` tokens in a block.
    """

    def __init__(
        self,
        without_targets: bool = False,
        learnt: Literal["answers", "everything"] = "everything",
        tokenizer: str | None = None,
        vocab_size: Annotated[int, Field(ge=257)] = 4096,
        **tofu,
    ):
        super().__init__(**tofu)
        self.without_targets, self.learnt, self.path, self.most_tokens = without_targets, learnt, tokenizer, vocab_size

    def setup(self, stage: str) -> None:
        if hasattr(self, "train"):
            return
        self.read()
        self.tokenizer = load_tokenizer(self.path) if self.path else self._learned_tokenizer()
        texts = self.encoded(self.items(self.pairs_to_retain if self.without_targets else self.full))
        self.train = PackedText(rows(texts.tokens, texts.lengths), self.max_length)
        if self.learnt == "answers":
            answers = (texts.labels != IGNORED).long()  # as long as the texts, hence packed in the same way
            self.train.labels[PackedText(rows(answers, texts.lengths), self.max_length).tokens == 0] = IGNORED
        self.fill_probes()

    def _learned_tokenizer(self):
        items = self.items(self.full)
        return train_byte_tokenizer([f"{item.prompt} {item.answer}" for item in items], self.most_tokens)
