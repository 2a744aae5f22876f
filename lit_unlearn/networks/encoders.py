"""Encoders and mirrored decoders for pictures and tables, by name.

No bias, no learnt normalisation, no bounded activation: with any of them a one-class network can map everything to
its centre (Ruff et al., Deep One-Class Classification, ICML 2018, propositions 1 to 3).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from lit_unlearn.errors import UserError
from lit_unlearn.networks.normalization import batch_norm

NetworkName = Literal["auto", "conv", "lenet", "mlp"]


def encoder(network: NetworkName, input_shape: Sequence[int], representation: int) -> nn.Module:
    """An encoder from (B, *input_shape) to (B, representation).

    Args:
        network: `conv` (three stride-2 convolutions, 16-32-64), `lenet` (Ruff et al.: 5x5 convolutions with pooling,
            8-4 channels for grey pictures, 32-64-128 for colour), `mlp`, or `auto`: conv for pictures, mlp for tables.
        input_shape: (C, H, W) or (F,).
        representation: length of the representation.

    Raises:
        UserError: a convolutional network for tables.
    """
    match _resolve(network, input_shape):
        case "conv":
            return _for_pictures(ConvEncoder(input_shape, representation))
        case "lenet":
            return _for_pictures(LeNetEncoder(input_shape, representation))
        case _:
            return MLPEncoder(input_shape, representation)


def decoder(network: NetworkName, input_shape: Sequence[int], representation: int) -> nn.Module:
    """The mirror image of `encoder`: (B, representation) to (B, *input_shape), with arguments as there."""
    match _resolve(network, input_shape):
        case "conv":
            channels = conv_channels()
            sizes = _halved(input_shape[1:], len(channels))
            return _for_pictures(UpsamplingDecoder(input_shape, representation, channels, sizes, kernel=3))
        case "lenet":
            channels = lenet_channels(input_shape)
            sizes = _pooled(input_shape[1:], len(channels))
            return _for_pictures(UpsamplingDecoder(input_shape, representation, channels, sizes, kernel=5))
        case _:
            return MLPDecoder(input_shape, representation)


def _resolve(network: NetworkName, input_shape: Sequence[int]) -> str:
    if network == "auto":
        return "conv" if len(input_shape) == 3 else "mlp"
    if network != "mlp" and len(input_shape) != 3:
        raise UserError(
            f"network={network}: needs pictures (C, H, W), the data have shape {tuple(input_shape)}; use mlp"
        )
    return network


def _for_pictures(network: nn.Module) -> nn.Module:
    """Weights with the channels innermost: a third less time a step on CPUs, and what tensor cores want."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def conv_channels() -> list[int]:
    return [16, 32, 64]


def lenet_channels(input_shape: Sequence[int]) -> list[int]:
    return [8, 4] if input_shape[0] == 1 else [32, 64, 128]


def _halved(size: Sequence[int], times: int) -> list[tuple[int, int]]:
    """Sizes of a picture before and after each stride-2 convolution (3x3, padding 1)."""
    sizes = [(size[0], size[1])]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _pooled(size: Sequence[int], times: int) -> list[tuple[int, int]]:
    """Sizes of a picture before and after each 2x2 pooling."""
    return [(size[0] >> i, size[1] >> i) for i in range(times + 1)]


class ConvEncoder(nn.Sequential):
    """Three stride-2 3x3 convolutions, then a linear map."""

    def __init__(self, input_shape: Sequence[int], representation: int):
        layers: list[nn.Module] = []
        for before, after in pairwise([input_shape[0], *conv_channels()]):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), batch_norm(after), nn.LeakyReLU()]
        height, width = _halved(input_shape[1:], 3)[-1]
        flat = conv_channels()[-1] * height * width
        super().__init__(*layers, nn.Flatten(), nn.Linear(flat, representation, bias=False))


class LeNetEncoder(nn.Sequential):
    """5x5 convolutions each followed by 2x2 max pooling, then a linear map (Ruff et al. 2018)."""

    def __init__(self, input_shape: Sequence[int], representation: int):
        channels = lenet_channels(input_shape)
        layers: list[nn.Module] = []
        for before, after in pairwise([input_shape[0], *channels]):
            layers += [nn.Conv2d(before, after, 5, padding=2, bias=False), batch_norm(after), nn.LeakyReLU()]
            layers += [nn.MaxPool2d(2)]
        height, width = _pooled(input_shape[1:], len(channels))[-1]
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * width, representation, bias=False))


class UpsamplingDecoder(nn.Module):
    """A linear map, then nearest up-sampling and a convolution for each step the encoder went down.

    Args:
        channels: the encoder's channels, from the input side.
        sizes: picture sizes from the input down, one more than channels.
        kernel: side of the convolutions.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        representation: int,
        channels: list[int],
        sizes: list[tuple[int, int]],
        kernel: int,
    ):
        super().__init__()
        self.smallest = (channels[-1], *sizes[-1])
        self.expand = nn.Linear(representation, channels[-1] * sizes[-1][0] * sizes[-1][1], bias=False)
        layers: list[nn.Module] = []
        outputs = [*channels[-2::-1], input_shape[0]]
        for before, after, size in zip(channels[::-1], outputs, sizes[-2::-1], strict=True):
            layers += [batch_norm(before), nn.LeakyReLU(), nn.Upsample(size=size)]
            layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Sigmoid())  # pictures lie in [0, 1]

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.expand(z).view(-1, *self.smallest))


class MLPEncoder(nn.Sequential):
    """Two hidden layers of 128 and 64 units."""

    def __init__(self, input_shape: Sequence[int], representation: int):
        super().__init__(nn.Flatten(), *_mlp([_flat(input_shape), 128, 64, representation]))


class MLPDecoder(nn.Sequential):
    """The mirror image of `MLPEncoder`, with an unbounded output."""

    def __init__(self, input_shape: Sequence[int], representation: int):
        layers = _mlp([representation, 64, 128, _flat(input_shape)])
        super().__init__(*layers, nn.Unflatten(1, tuple(input_shape)))


def _mlp(widths: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after, bias=False), batch_norm(after), nn.LeakyReLU()]
    return layers[:-2]  # the last map is linear


def _flat(input_shape: Sequence[int]) -> int:
    size = 1
    for side in input_shape:
        size *= side
    return size
