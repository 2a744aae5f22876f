"""Sentences that explain triplets, with the characters and the tokens of both sides.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lit_unlearn.concepts.generation import Speaker
from lit_unlearn.concepts.names import Names, fold, normalise
from lit_unlearn.concepts.prompts import Prompts
from lit_unlearn.concepts.triplets import Sentence, Triplet
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LONGEST = 400
"""Characters of a sentence."""
Span = tuple[int, int]


def explain(
    triplets: Sequence[Triplet], names: Names, speaker: Speaker, prompts: Prompts, most: int, most_tokens: int
) -> list[Sentence]:
    """Sentences for each triplet: those of the model that hold both sides, else the template.

    Args:
        triplets: one side of each is `names.name`.
        names: of the concept; an alias will do.
        speaker, prompts: who is asked, and how.
        most: sentences a triplet.
        most_tokens: of an answer.
    """
    asked = [(i, each) for i, triplet in enumerate(triplets) for each in prompts.explaining(triplet)]
    written = speaker.write([each.text for _, each in asked], 1, most_tokens, None, prompts.short_end) if asked else []
    said: list[dict[str, Sentence]] = [{} for _ in triplets]
    for (i, each), (answer,) in zip(asked, written, strict=True):
        text = f"{each.prefix} {normalise(answer.strip().split(chr(10))[0])}".strip()
        text = text if text.endswith((".", "!", "?")) else f"{text}."
        sentence = _located(i, triplets[i], text, names, generated=True)
        if sentence is not None and len(said[i]) < most:
            said[i].setdefault(fold(text), sentence)
    found = []
    for i, triplet in enumerate(triplets):
        template = _located(i, triplet, prompts.template(triplet), names, generated=False)
        assert template is not None, "a template holds both sides"
        found += list(said[i].values()) or [template]
    return found


def _located(number: int, triplet: Triplet, text: str, names: Names, generated: bool) -> Sentence | None:
    """The sentence with its spans; None where one side is not in it, or it is too long."""
    if len(text) > LONGEST:
        return None
    concept = next(iter(names.spans(text)), None)
    ends = Names(triplet.other_side(names.name)).spans(text)
    other = next((span for span in ends if concept and (span[1] <= concept[0] or span[0] >= concept[1])), None)
    if concept is None or other is None:
        return None
    subject, end = (concept, other) if triplet.subject == names.name else (other, concept)
    return Sentence(number, text, subject, end, generated)


def token_span(offsets: Sequence[Span], text: str, span: Span) -> Span | None:
    """Tokens [start, end) that write the characters of a span and, but for white space, nothing else.

    Args:
        offsets: of each token, characters [start, end) of `text`; empty for special tokens.
        text: that was tokenised.
        span: characters of it.

    Returns:
        None where the span ends within a token, or lies in a part that was cut off: such a sentence cannot be used.
    """
    inside = [i for i, (a, b) in enumerate(offsets) if max(a, span[0]) < min(b, span[1])]
    if not inside:
        return None
    first, last = inside[0], inside[-1]
    covered = text[offsets[first][0] : offsets[last][1]]
    if covered.strip() != text[span[0] : span[1]].strip() or offsets[first][0] > span[0] or offsets[last][1] < span[1]:
        return None
    return first, last + 1


def in_chat(tokenizer: "PreTrainedTokenizerFast", question: str, answer: str) -> tuple[str, int]:
    """A conversation in the model's template, and where in it the answer begins, in characters.

    Args:
        tokenizer: with a chat template.
        question: of the user.
        answer: of the assistant.

    Raises:
        UserError: the template does not write the answer as it is.
    """
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    start = text.rfind(answer)
    if start < 0:
        raise UserError("the tokenizer's chat template changes what the assistant says; give prompts=completion")
    return text, start


def tokenised(
    tokenizer: "PreTrainedTokenizerFast", text: str, spans: Sequence[Span], question: str | None = None
) -> tuple[list[int], list[Span | None]]:
    """A text as tokens, with the tokens of spans of it.

    Args:
        tokenizer: a fast one.
        text: plain, or, with a question, the assistant's answer.
        spans: characters of `text`.
        question: the user's; the conversation is put in the chat template.

    Returns:
        token ids, and `token_span` of each span.
    """
    start = 0
    if question is not None:
        text, start = in_chat(tokenizer, question, text)
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=question is None)
    offsets = encoded["offset_mapping"]
    return encoded["input_ids"], [token_span(offsets, text, (a + start, b + start)) for a, b in spans]
