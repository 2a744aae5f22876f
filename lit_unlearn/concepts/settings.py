"""How a concept is extracted: every setting with its meaning, its range and its default.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
The defaults are ours.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from datamodules.llm.prompt_style import PromptStyle

Validation = Literal["both", "yes_no", "cloze", "none"]


class ExtractionSettings(BaseModel):
    """What decides which triplets are found. The descriptions are shown by --help; experiments/extract.yaml has the
    same defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    prompts: PromptStyle = Field(
        "auto",
        description="how the model is asked: chat (its template), completion (few-shot, base models), records (the "
        "embedded models of fictitious people), questions (models that answer TOFU's questions); auto: what fits its "
        "tokenizer, never questions",
    )
    wordings: Literal["first", "second"] = Field(
        "first", description="second: ask and validate in other words, to see what unlearning has left"
    )
    families: list[str] | None = Field(None, description="relation families to ask for; null: all of the prompts")
    samples: Annotated[int, Field(ge=1)] = Field(20, description="answers sampled for each family")
    temperature: Annotated[float, Field(gt=0)] = Field(0.8, description="of sampling")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(0.95, description="share of the probability that is drawn from")
    max_new_tokens: Annotated[int, Field(ge=1)] = Field(256, description="longest answer; short answers end after 32")
    support: Annotated[int, Field(ge=1)] = Field(2, description="samples that must say a triplet")
    most_triplets: Annotated[int, Field(ge=1)] = Field(200, description="of a concept, the most supported ones")
    validate_by: Validation = Field(
        "both", description="the model's own judgement: yes_no, cloze, both or none (everything it says is kept)"
    )
    cloze_samples: Annotated[int, Field(ge=1)] = Field(5, description="answers sampled for each cloze")
    cloze_share: Annotated[float, Field(gt=0, le=1)] = Field(0.4, description="of them that must give the missing side")
    false_positives: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="share of corrupted triplets that the yes/no threshold lets pass"
    )
    yes_no_auroc: Annotated[float, Field(ge=0.5, le=1)] = Field(
        0.75, description="yes/no counts only where it tells claimed triplets from corrupted ones at least so well"
    )
    corruptions: Annotated[int, Field(ge=1)] = Field(8, description="corrupted triplets for each, to set the threshold")
    sentences: Annotated[int, Field(ge=1)] = Field(4, description="explanatory sentences for each triplet, at most")
    neighbours: Annotated[int, Field(ge=0)] = Field(
        20, description="samples for each family about anybody else: objects to corrupt with, entities to retain"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="draws all samples")
    batch_size: Annotated[int, Field(ge=1)] = Field(64, description="answers written at once; changes nothing else")
