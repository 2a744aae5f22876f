"""Wide residual networks (Zagoruyko and Komodakis, arXiv 1605.07146), named as in TRADES and RobustBench."""

from collections.abc import Sequence

from torch import Tensor, nn

from lit_unlearn.networks.resnet import conv3x3, norm


class WideBlock(nn.Module):
    """Normalisation and ReLU before each of two convolutions.

    Args:
        before, after: channels.
        stride: of the first convolution.
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.bn1, self.conv1 = norm(before), conv3x3(before, after, stride)
        self.bn2, self.conv2 = norm(after), conv3x3(after, after)
        self.convShortcut = None if before == after else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.bn1(x).relu()
        kept = x if self.convShortcut is None else self.convShortcut(active)
        return kept + self.conv2(self.bn2(self.conv1(active)).relu())


class WideStage(nn.Module):
    """A stage of blocks, in `layer`."""

    def __init__(self, blocks: int, before: int, after: int, stride: int):
        super().__init__()
        layers = [WideBlock(before, after, stride), *(WideBlock(after, after, 1) for _ in range(blocks - 1))]
        self.layer = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """A stem of 16 channels, three stages, global mean, a linear map.

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        depth: 6 n + 4.
        factor: by how much it is wider than a plain residual network.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, depth: int, factor: int):
        super().__init__()
        blocks, widths = (depth - 4) // 6, [16, 16 * factor, 32 * factor, 64 * factor]
        self.conv1 = conv3x3(input_shape[0], widths[0])
        self.block1 = WideStage(blocks, widths[0], widths[1], 1)
        self.block2 = WideStage(blocks, widths[1], widths[2], 2)
        self.block3 = WideStage(blocks, widths[2], widths[3], 2)
        self.bn1 = norm(widths[3])
        self.penultimate = nn.Identity()
        self.fc = nn.Linear(widths[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(self.penultimate(self.bn1(x).relu().mean((2, 3))))
