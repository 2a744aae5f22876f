"""Image classifiers by name, with normalisation as their first layer, and their representations by module name."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lit_unlearn.errors import UserError
from lit_unlearn.networks.conv_classifier import SmallConv
from lit_unlearn.networks.resnet import preact_resnet18, resnet18, resnet20
from lit_unlearn.networks.wide_resnet import WideResNet

ClassifierName = Literal[
    "small_conv", "wide_conv", "resnet20", "resnet18", "preact_resnet18", "wide_resnet_28_10", "wide_resnet_34_10"
]

BODIES: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "small_conv": SmallConv,
    "wide_conv": lambda shape, classes: SmallConv(shape, classes, width=32, hidden=256),
    "resnet20": resnet20,
    "resnet18": resnet18,
    "preact_resnet18": preact_resnet18,
    "wide_resnet_28_10": lambda shape, classes: WideResNet(shape, classes, 28, 10),
    "wide_resnet_34_10": lambda shape, classes: WideResNet(shape, classes, 34, 10),
}


class Normalise(nn.Module):
    """(x - mean) / std of each channel.

    Args:
        mean, std: one number a channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """A network from (B, C, H, W) pictures in [0, 1] to (B, K) logits.

    Args:
        network: a name of `BODIES`.
        input_shape: (C, H, W).
        num_classes: K.
        mean, std: of each channel of the training pictures; the network's first layer.
    """

    def __init__(
        self,
        network: ClassifierName,
        input_shape: Sequence[int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        self.made_of: dict[str, Any] = {
            "network": network,
            "input_shape": list(input_shape),
            "num_classes": num_classes,
            "mean": list(mean),
            "std": list(std),
        }
        self.num_classes = num_classes
        self.normalise = Normalise(mean, std)
        self.body = BODIES[network](input_shape, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.normalise(x))

    def with_representations(self, x: Tensor, layers: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
        """The (B, K) logits, and the outputs of modules of `body` by their names, from one pass.

        Raises:
            UserError: there is no such module.
        """
        found: dict[str, Tensor] = {}
        handles = [
            self.layer(name).register_forward_hook(lambda _, __, output, key=name: found.__setitem__(key, output))
            for name in layers
        ]
        try:
            logits = self(x)
        finally:
            for handle in handles:
                handle.remove()
        return logits, [found[name] for name in layers]

    def layer(self, name: str) -> nn.Module:
        """A module of `body`.

        Raises:
            UserError: there is none of that name.
        """
        modules = {key: module for key, module in self.body.named_modules() if key}
        if name not in modules:
            raise UserError(f"method.layers={name}: the network has no such module; it has {', '.join(modules)}")
        return modules[name]

    def representation_shapes(self, layers: Sequence[str]) -> list[tuple[int, ...]]:
        """Shapes of representations of one picture, without the batch.

        Raises:
            UserError: there is no such module.
        """
        first = next(self.parameters())
        blank = torch.zeros(2, *self.made_of["input_shape"], device=first.device, dtype=first.dtype)
        training = self.training
        self.eval()
        with torch.no_grad():
            _, representations = self.with_representations(blank, layers)
        self.train(training)
        return [tuple(h.shape[1:]) for h in representations]
