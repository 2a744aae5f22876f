"""Unlearning people of a `World`: who is forgotten, who stays, and which names nobody has."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from datamodules.llm import splits
from datamodules.llm.base import UnlearningDataModule
from datamodules.llm.biographies_text import general_text
from datamodules.llm.tokenizer import load_tokenizer
from datamodules.llm.world import World
from lit_unlearn.errors import UserError


class Biographies(UnlearningDataModule):
    """Targets in questions, statements and in reverse; retained people, filler and refused names to hold on to.

    A quarter of the neighbours and of the others is never trained with: `retain` and `neighbour` are measured on them.

    Args:
        tokenizer: folder or hub name of the language model.
        targets: names to forget; null takes those of `part`.
        part: the world's targets, or as many others that the reference never knew either, to choose settings with.
        num_people, num_targets, num_unknown, world_seed: see `World`; as the language model was trained.
        retain_batch_size: see `UnlearningDataModule`.
        shared: see `LanguageDataModule`.

    After `setup`: `world`, `people`, `forgotten` (the targets' names), and what `UnlearningDataModule` names.
    """

    def __init__(
        self,
        tokenizer: str,
        targets: list[str] | None = None,
        part: Literal["test", "validation"] = "test",
        num_people: Annotated[int, Field(ge=4)] = 300,
        num_targets: Annotated[int, Field(ge=1)] = 30,
        num_unknown: Annotated[int, Field(ge=1)] = 120,
        world_seed: int = 0,
        **shared,
    ):
        super().__init__(**shared)
        self.path, self.targets, self.part, self.world_seed = tokenizer, targets, part, world_seed
        self.world = World(num_people, num_targets, num_unknown, world_seed)

    def setup(self, stage: str) -> None:
        world = self.world
        drawn = world.targets if self.part == "test" else world.validation
        targets = drawn if self.targets is None else numbers_of(self.targets, world)
        self.people = splits.divide(world, targets, self.world_seed)
        self.forgotten = [world.people[i].name for i in targets]
        self.tokenizer = load_tokenizer(self.path)
        pools = splits.pools(world, self.people, self.world_seed)
        self.fill(pools.forget, pools.refusal, pools.unknown, pools.retain)
        self.probes = {k: self.encoded(items) for k, items in splits.probes(world, self.people).items()}
        self.entities = {k: self.encoded(items) for k, items in splits.entities(world, self.people).items()}
        self.general = general_text(self.tokenizer, self.max_length, self.world_seed)


def numbers_of(names: Sequence[str], world: World) -> list[int]:
    """Who of the people has these names.

    Raises:
        UserError: nobody has one of them; the nearest names are shown.
    """
    number = {person.name: i for i, person in enumerate(world.people)}
    errors = []
    for name in names:
        if name not in number:
            near = difflib.get_close_matches(name, number, n=3, cutoff=0.4)
            errors.append(
                f"data.targets={name!r}: nobody has this name; the nearest are {', '.join(near) or 'none'}; "
                "give the name of one of the people"
            )
    if errors:
        raise UserError(errors)
    return sorted({number[name] for name in names})
