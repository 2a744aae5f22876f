"""Tokenizers: that of a language model, and one of whole words learned from texts, where a name is two tokens."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNKNOWN, END = "<unk>", "</s>"


def train_word_tokenizer(texts: Iterable[str]) -> "PreTrainedTokenizerFast":
    """A tokenizer with every word and punctuation mark of the texts; its end of text closes a document and pads.

    The vocabulary is in order of count, then of spelling: the same texts give the same tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)  # words with spaces, none before punctuation
    trainer = trainers.WordLevelTrainer(special_tokens=[END, UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, eos_token=END, pad_token=END)


def load_tokenizer(path: str) -> "PreTrainedTokenizerFast":
    """The fast tokenizer of a language model.

    Args:
        path: a folder, a FILE.gguf, or a name on the hub.

    Raises:
        UserError: there is none, or only one that cannot say where in the text a token came from, or GGUF cannot be
            read here.
    """
    from transformers import AutoTokenizer
    from transformers.utils import is_gguf_available

    file = Path(path)
    where, options = (str(file.parent), {"gguf_file": file.name}) if file.suffix == ".gguf" else (path, {})
    if options and not is_gguf_available():
        raise UserError(f"data.tokenizer={path}: GGUF is read with the package gguf, which is absent; pip install gguf")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(where, **options)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"data.tokenizer={path}: no tokenizer can be read there ({reason}); "
            "give the folder or the name on the Hugging Face hub of a language model"
        ) from error
    if not tokenizer.is_fast:
        raise UserError(f"data.tokenizer={path}: not a fast tokenizer; use a model with a tokenizer.json")
    return tokenizer
