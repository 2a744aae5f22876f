"""Residual networks for small pictures: ResNet-18 with a 3x3 stem, PreAct ResNet-18, ResNet-20.

He et al., arXiv 1512.03385 and 1603.05027. Names of the parameters are those that published weights for these networks
use (conv1, bn1, layer1.0.conv1, ..., shortcut.0, linear), so that such files can be read.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lit_unlearn.networks.normalization import BatchNorm


def norm(channels: int) -> BatchNorm:
    """Batch normalisation with a learnt scale and shift."""
    return BatchNorm(channels, affine=True)


def conv3x3(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias."""
    return nn.Conv2d(before, after, 3, stride, padding=1, bias=False)


class PaddedShortcut(nn.Module):
    """Every second pixel, and zeros for the channels that come new (He et al.'s option A): no parameters."""

    def __init__(self, new_channels: int):
        super().__init__()
        self.new_channels = new_channels

    def forward(self, x: Tensor) -> Tensor:
        before = self.new_channels // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.new_channels - before))


class Block(nn.Module):
    """Two convolutions, each followed by normalisation, beside a shortcut.

    Args:
        before, after: channels.
        stride: of the first convolution.
        padded: a shortcut that changes shape pads with zeros instead of a learnt 1x1 convolution.
    """

    def __init__(self, before: int, after: int, stride: int, padded: bool):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(before, after, stride), norm(after)
        self.conv2, self.bn2 = conv3x3(after, after), norm(after)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or before != after:
            projection = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut = PaddedShortcut(after - before) if padded else nn.Sequential(projection, norm(after))

    def forward(self, x: Tensor) -> Tensor:
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + self.shortcut(x)).relu()


class PreActBlock(nn.Module):
    """Normalisation and ReLU before each of two convolutions; a shortcut that changes shape branches off after them."""

    def __init__(self, before: int, after: int, stride: int, padded: bool = False):
        super().__init__()
        self.bn1, self.conv1 = norm(before), conv3x3(before, after, stride)
        self.bn2, self.conv2 = norm(after), conv3x3(after, after)
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        active = self.bn1(x).relu()
        kept = self.shortcut(active) if hasattr(self, "shortcut") else x
        return self.conv2(self.bn2(self.conv1(active)).relu()) + kept


class ResNet(nn.Module):
    """A stem, stages of blocks of which each but the first halves the picture, global mean, a linear map.

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        widths: channels of each stage.
        blocks: blocks in each stage.
        block: `Block` or `PreActBlock`, which has its normalisation at the end instead of in the stem.
        padded: see `Block`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        widths: Sequence[int],
        blocks: int,
        block: type[Block] | type[PreActBlock] = Block,
        padded: bool = False,
    ):
        super().__init__()
        self.conv1 = conv3x3(input_shape[0], widths[0])
        self.preact = block is PreActBlock
        if not self.preact:
            self.bn1 = norm(widths[0])
        self.stages, before = len(widths), widths[0]
        for stage, after in enumerate(widths):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            layers = []
            for stride in strides:
                layers.append(block(before, after, stride, padded))
                before = after
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        if self.preact:
            self.bn = norm(before)
        self.penultimate = nn.Identity()
        self.linear = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x) if self.preact else self.bn1(self.conv1(x)).relu()
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        if self.preact:
            x = self.bn(x).relu()
        return self.linear(self.penultimate(x.mean((2, 3))))


def resnet18(input_shape: Sequence[int], num_classes: int) -> ResNet:
    """ResNet-18 with a 3x3 stem: 11.2 million parameters."""
    return ResNet(input_shape, num_classes, (64, 128, 256, 512), 2)


def preact_resnet18(input_shape: Sequence[int], num_classes: int) -> ResNet:
    """PreAct ResNet-18: 11.2 million parameters."""
    return ResNet(input_shape, num_classes, (64, 128, 256, 512), 2, PreActBlock)


def resnet20(input_shape: Sequence[int], num_classes: int) -> ResNet:
    """ResNet-20 with shortcuts without parameters: 0.27 million parameters."""
    return ResNet(input_shape, num_classes, (16, 32, 64), 3, padded=True)
