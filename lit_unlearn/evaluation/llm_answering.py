"""A language model's answers to a user's own prompts, as CSV."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule, Trainer

from lit_unlearn.errors import UserError
from lit_unlearn.report import write_atomically

if TYPE_CHECKING:
    from datamodules.llm.base import LanguageDataModule

MAX_NEW_TOKENS = 32


def score(
    method: LightningModule,
    data: "LanguageDataModule",
    trainer: Trainer,
    source: str,
    output: str | None,
    layout: str | None = None,
) -> str:
    """Answers the prompts of a text file by greedy decoding and writes CSV: prompt, answer.

    Args:
        method: `unlearned()` is the language model that answers.
        data: the data module it was trained with, not set up; it has the tokenizer.
        trainer: says on which device.
        source: a UTF-8 file with a prompt a line, worded as the model is used to; empty lines are left out.
        output: the file to write.
        layout: of the lines of a log; of no use here.

    Returns:
        a line that says how many prompts were answered, and where the answers are; without `output` the answers.

    Raises:
        UserError: the file cannot be read or is empty, or the method is no language model.
    """
    if layout is not None:
        raise UserError(f"layout={layout}: says how the lines of a log are cut, this is a language model; leave it out")
    if not hasattr(method, "unlearned"):
        raise UserError(f"input={source}: this checkpoint is of no language model; give one that answers")
    prompts = _prompts(source)
    data.prepare_data()
    data.setup("predict")
    kind: Any = method
    model = kind.unlearned().to(trainer.strategy.root_device)
    answers = [_answer(model, data.tokenizer, prompt) for prompt in prompts]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["prompt", "answer"])
    writer.writerows(zip(prompts, answers, strict=True))
    if output in (None, "-"):
        return text.getvalue().rstrip()
    assert output is not None
    write_atomically(Path(output), text.getvalue())
    return f"{len(prompts)} prompts answered: {output}"


def _prompts(source: str) -> list[str]:
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"input={source}: cannot be read ({error}); give a text file with a prompt a line") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"input={source}: no prompt in it; give a text file with a prompt a line")
    return prompts


@torch.no_grad()
def _answer(model: Any, tokenizer: Any, prompt: str) -> str:
    """Greedy decoding to the end of text, the end of the line or `MAX_NEW_TOKENS`."""
    tokens = tokenizer(prompt, return_tensors="pt")["input_ids"].to(model.device)
    written = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=MAX_NEW_TOKENS, do_sample=False,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    lines = tokenizer.decode(written[0, tokens.shape[1] :], skip_special_tokens=True).strip().splitlines()
    return lines[0] if lines else ""
