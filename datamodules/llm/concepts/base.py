"""What data modules share that name concepts to be forgotten: texts about them are the method's business.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from datamodules.llm.base import UnlearningDataModule, UnlearningPools
from datamodules.llm.batches import UnlearningBatch
from datamodules.llm.items import EncodedItems, Item
from datamodules.llm.prompt_style import PromptStyle
from lit_unlearn.errors import UserError
from lit_unlearn.reproducibility import EpochBatchSampler, ResumableLoader


@dataclass(frozen=True)
class ConceptName:
    """A person, an event, a thing: as texts name it, and what else it is called."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hops:
    """Questions in two steps, row by row: the first asks for the concept by what is known of it, the second for where
    another edge leads from there."""

    first: EncodedItems
    second: EncodedItems


class ConceptPools(UnlearningPools):
    """Indexed with rows of each view, and rows to retain, gives an `UnlearningBatch`.

    Args:
        views: items of each view (edges, nodes), one after the other in `forget`.
        forget: all of them.
        refusal: row by row the same contexts with a refusal. There are no names that nobody has: `unknown` is the same.
        retain: what must stay.
    """

    def __init__(self, views: list[int], forget: EncodedItems, refusal: EncodedItems, retain: EncodedItems):
        super().__init__(forget, refusal, refusal, retain, forget)
        self.views = views

    def __getitem__(self, indices: tuple[Tensor, ...]) -> UnlearningBatch:  # type: ignore[override]
        *parts, kept = indices
        starts = [sum(self.views[:i]) for i in range(len(parts))]
        rows = torch.cat([part + start for part, start in zip(parts, starts, strict=True)])
        return super().__getitem__((rows, kept))


class ConceptDataModule(UnlearningDataModule):
    """Concepts to be forgotten, and what is asked about them at the end.

    After `setup` its pools are texts that somebody has written about the concepts, which every method can train with. A
    method that finds its own gives them to `train_on`.

    Args:
        num_extracted: concepts whose graph is extracted again to see what is left, at most.
        prompts: how the model is asked what it knows, for training and at the end.
        shared: see `UnlearningDataModule`.

    Attributes:
        concepts: to be forgotten.
        heldout_families: relation families that no method may train with: forgetting must reach them by itself.
        held_out: names of others that are judged with and must not be trained with.
        written: by the concept's name, sentences somebody has written about it; empty where there are none.
        generic: text about nobody, to be retained.
        recall: what is asked, by `edge_recall/<split>` and `node_recall/<split>`.
        hops: questions in two steps; None where none are known.
        true_edges: by the concept's name, its true (relation, other side); None where they are not known.
    """

    concepts: list[ConceptName]
    heldout_families: list[str]
    held_out: list[str]
    written: dict[str, list[str]]
    generic: list[Item]
    recall: dict[str, EncodedItems]
    hops: Hops | None = None
    true_edges: dict[str, set[tuple[str, str]]] | None = None

    def __init__(self, num_extracted: Annotated[int, Field(ge=0)] = 30, prompts: PromptStyle = "auto", **shared):
        super().__init__(**shared)
        self.num_extracted, self.prompts = num_extracted, prompts

    def train_on(self, views: list[int], forget: EncodedItems, refusal: EncodedItems, retain: EncodedItems) -> None:
        """Replaces what is trained with, see `ConceptPools`."""
        self.pools = ConceptPools(views, forget, refusal, retain)

    def train_dataloader(self) -> ResumableLoader:
        """Batches of `batch_size` items to forget, as many of each view; the first view sets how long an epoch is."""
        if not isinstance(self.pools, ConceptPools):
            return super().train_dataloader()
        sizes = [*self.pools.views, len(self.pools.retain)]
        each = max(1, self.batch_size // len(self.pools.views))
        sampler = EpochBatchSampler(sizes, [each] * len(self.pools.views) + [self.retain_batch_size], self.seed)
        return ResumableLoader(self.pools, sampler, self.num_workers)


def named(concepts: list[str], aliases: dict[str, list[str]] | None) -> list[ConceptName]:
    """Concepts with their aliases.

    Raises:
        UserError: aliases of something else.
    """
    foreign = sorted(set(aliases or {}) - set(concepts))
    if foreign:
        raise UserError(
            f"data.aliases={foreign[0]!r}: no concept of this name is to be forgotten; those are {', '.join(concepts)}"
        )
    return [ConceptName(name, tuple((aliases or {}).get(name, ()))) for name in concepts]
