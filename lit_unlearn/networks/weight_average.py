"""An average of a network's weights over training: exponential (EMA) or with equal shares (SWA).

EMA: Polyak and Juditsky 1992. SWA: Izmailov et al., arXiv 1803.05407; against robust overfitting, Chen et al. 2021 and
Gowal et al., arXiv 2010.03593. The average is an ordinary module, so that a checkpoint holds it and a resumed run goes
on with equal bits; its running statistics of batch normalisation are averaged like the weights.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn

AverageName = Literal["none", "ema", "swa"]


class WeightAverage(nn.Module):
    """The averaged network.

    Args:
        network: whose weights are averaged; copied.
        kind: `ema` or `swa`.
        decay: of the exponential average, per step.
    """

    taken: Tensor

    def __init__(self, network: nn.Module, kind: AverageName, decay: float):
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.kind, self.decay = kind, decay
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def take(self, network: nn.Module) -> None:
        """Takes the network's present weights into the average; the first ones replace it."""
        self.taken += 1
        share = 1 / int(self.taken) if self.kind == "swa" or self.taken == 1 else 1 - self.decay
        for mine, its in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(its, share)
            else:
                mine.copy_(its)

    def train(self, mode: bool = True) -> "WeightAverage":
        """Stays in eval mode."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)
