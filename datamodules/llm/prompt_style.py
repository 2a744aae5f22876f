"""How a language model is asked what it knows."""

from typing import Literal

PromptStyle = Literal["auto", "records", "chat", "completion", "questions"]
"""See `lit_unlearn.concepts.settings.ExtractionSettings`."""
