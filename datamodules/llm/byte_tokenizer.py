"""A small tokenizer of byte pairs, learned from texts: any text can be written with it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from datamodules.llm.tokenizer import END

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def train_byte_tokenizer(texts: Iterable[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """Byte-level BPE (Radford et al., 2019, GPT-2; `tokenizers`); its end of text closes a document and pads.

    The same texts give the same tokenizer: the alphabet is given, in order of its characters, and of pairs that are
    equally frequent the one of the lower numbers is merged first.

    Args:
        texts: to learn from.
        vocab_size: entries, the end of text and 256 bytes included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
