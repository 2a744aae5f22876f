"""Muon for the matrices of a transformer's blocks and AdamW for the rest, as one optimiser.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, as `torch.optim.Muon` has it. A small
language model learns its facts in a third of the steps that AdamW needs (docs/llm.md).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class MuonAdamW(torch.optim.Optimizer):
    """One optimiser for a schedule, a checkpoint and Lightning, two rules inside.

    Args:
        matrices: two-dimensional weights of blocks, for Muon.
        others: embeddings and norms, for AdamW.
        learning_rate: of Muon.
        learning_rate_others: of AdamW.
        weight_decay: of the matrices.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        learning_rate: float,
        learning_rate_others: float,
        weight_decay: float,
    ):
        matrices, others = list(matrices), list(others)
        self.inner: list[torch.optim.Optimizer] = []
        if matrices:  # the learning rate means the size of an update as with AdamW
            self.inner.append(
                torch.optim.Muon(matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if others:
            self.inner.append(
                torch.optim.AdamW(others, lr=learning_rate_others, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
            )
        super().__init__([group for optimiser in self.inner for group in optimiser.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Groups and state are one and the same here and inside: schedules and checkpoints of any strategy see both."""
        groups = iter(self.param_groups)
        for optimiser in self.inner:
            optimiser.state = self.state
            optimiser.param_groups = [next(groups) for _ in optimiser.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimiser in self.inner:
            optimiser.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()


def muon_adamw(model: nn.Module, inside: nn.Module, **rates: float) -> MuonAdamW:
    """The optimiser of a model's trained parameters: the matrices inside of its blocks go to Muon.

    Args:
        model: the model.
        inside: its blocks.
        rates: see `MuonAdamW`.
    """
    hidden = {id(weight) for weight in inside.parameters() if weight.ndim == 2}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in trained if id(weight) in hidden]
    return MuonAdamW(matrices, [weight for weight in trained if id(weight) not in hidden], **rates)
