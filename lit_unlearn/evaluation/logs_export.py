"""A log anomaly detector as an ONNX file, with what makes tokens of a log line beside it.

`detector.onnx` maps tokens, (B, T) int64 filled up with 0, to token_scores, (B, T), and score, (B,). `detector.json`
holds how a message becomes tokens: lower case, then the regular expression (Python's `re`, ASCII) whose matches are
replaced by the placeholder that the last matched group is named after (`NUM_3_0`: ` [NUM] `), single spaces, stop words
left out; then the tokenizer (`tokenizers.Tokenizer.from_str`), its ids between those of [CLS] and [SEP].
"""

import json
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from datamodules.logs.batches import CLS, PAD, SEP, UNK, counted
from lit_unlearn.errors import UserError
from lit_unlearn.metrics.thresholds import quantile_threshold
from lit_unlearn.report import write_atomically

if TYPE_CHECKING:
    from datamodules.logs.base import LogDataModule


class TokenScores(nn.Module):
    """(B, T) int64 tokens to (B, T) token scores and their (B,) means over the counted tokens: the line scores."""

    def __init__(self, method: LightningModule):
        super().__init__()
        self.method: Any = method

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        of_tokens = self.method.token_scores(tokens)
        return of_tokens, of_tokens.sum(1) / counted(tokens).sum(1).clamp(min=1)


def export(method: LightningModule, data: "LogDataModule", path: Path) -> None:
    """Writes a detector as `path` and its preprocessing as the same name with .json.

    Args:
        method: a trained detector that reads a line's tokens once: one with a discriminator.
        data: the data module it was trained with, with the tokenizer of the checkpoint.
        path: FILE.onnx.

    Raises:
        UserError: the name ends otherwise, the method cannot be exported, or the packages for it are not installed.
    """
    if path.suffix != ".onnx":
        raise UserError(f"export={path}: must end in .onnx")
    if not hasattr(method, "discriminator"):
        raise UserError(
            f"export={path}: {type(method).__name__} has no discriminator of tokens, which is what can be exported; "
            "train log_electra, pu_log_electra or date"
        )
    _write_onnx(TokenScores(method).eval(), data.max_length, path)
    assert data.tokenizer is not None
    quantiles: Any = method.unlabeled_quantiles
    threshold = quantile_threshold(float(quantiles[999]))
    described = {
        "lower": data.preprocess.lower,
        "pattern": data.preprocess.pattern.pattern if data.preprocess.pattern else None,
        "stop_words": sorted(data.preprocess.stop_words),
        "tokens": {"pad": PAD, "unknown": UNK, "begin": CLS, "end": SEP},
        "max_length": data.max_length,
        "threshold": threshold if quantiles.isfinite().all() else None,
        "tokenizer": json.loads(data.tokenizer.to_str()),
    }
    write_atomically(path.with_suffix(".json"), json.dumps(described, indent=1))


def _write_onnx(network: TokenScores, max_length: int, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401  (torch asks for it late and says less)
    except ImportError as error:
        raise UserError(f"export={path}: {error}; install the packages: pip install lit_unlearn[onnx]") from error
    example = torch.full((2, min(8, max_length)), UNK)
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it says which packages it has nothing to do with
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["tokens"],
                output_names=["token_scores", "score"],
                dynamic_shapes={"tokens": any_size},
            )
        assert program is not None
        program.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        logger.setLevel(level)
