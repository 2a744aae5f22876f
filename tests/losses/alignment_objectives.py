"""Every objective on latent vectors, on entities of a small world; what holds for all is tested over this table."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_unlearn.losses import latent_alignment as module

GENERATOR = torch.Generator().manual_seed(0)
UNKNOWN = torch.randn(5, 4, generator=GENERATOR, dtype=torch.float64)
KNOWN = 3 + torch.randn(5, 4, generator=GENERATOR, dtype=torch.float64)
TARGET = KNOWN + 0.3 * torch.randn(5, 4, generator=GENERATOR, dtype=torch.float64)
"""(5, 4) vectors of five targets, which are known, each with an unknown and another known entity."""
BANDWIDTH = float(module.median_bandwidth(torch.cat([TARGET, UNKNOWN])))

Objective = Callable[[Tensor, slice], Tensor]
"""Of the targets' vectors, and of which rows of the tensors above they are."""

ALL = slice(None)
OBJECTIVES: dict[str, Objective] = {
    "latent_set": lambda x, rows: module.latent_set(x[:, :2], x[:, 2:], UNKNOWN[:, :2].amax(0), UNKNOWN[:, 2:].amin(0)),
    "centroid": lambda x, rows: module.centroid(x, UNKNOWN.mean(0), KNOWN.mean(0), eta=0.5, margin=4.0),
    "centroid_cosine": lambda x, rows: module.centroid(x, UNKNOWN.mean(0), KNOWN.mean(0), 0.5, 0.8, distance="cosine"),
    "triplet": lambda x, rows: module.triplet(x, UNKNOWN[rows], KNOWN[rows], margin=2.0),
    "infonce": lambda x, rows: module.infonce(x, UNKNOWN, KNOWN, temperature=0.5),
    "mmd": lambda x, rows: module.mmd(x, UNKNOWN[rows], BANDWIDTH),
    "mmd_pooled": lambda x, rows: module.mmd(x, UNKNOWN, BANDWIDTH),
    "energy_distance": lambda x, rows: module.energy_distance(x, UNKNOWN[rows]),
    "paired": lambda x, rows: module.paired(x, UNKNOWN[rows]),
}
AT_REST = {
    "centroid": UNKNOWN.mean(0).expand(5, 4),
    "centroid_cosine": 2 * UNKNOWN.mean(0).expand(5, 4),
    **dict.fromkeys(("latent_set", "triplet", "mmd", "mmd_pooled", "energy_distance", "paired"), UNKNOWN),
}
"""Targets that are where the unknown entities are; contrast (infonce) has no such place."""
