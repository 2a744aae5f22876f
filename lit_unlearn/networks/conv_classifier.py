"""A small convolutional classifier for pictures of 8x8 and 28x28 pixels."""

from collections.abc import Sequence

from torch import Tensor, nn


class SmallConv(nn.Module):
    """Three 3x3 convolutions (width, 2 width, 4 width; the last two halve the picture), then a hidden layer.

    Without batch normalisation: the same in eval and training mode, and on one process and several.

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        width: channels of the first convolution.
        hidden: units of the hidden layer, the output of `penultimate`.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, width: int = 16, hidden: int = 128):
        super().__init__()
        channels, height, length = input_shape
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        flat = 4 * width * -(-height // 4) * -(-length // 4)
        self.hidden = nn.Linear(flat, hidden)
        self.penultimate = nn.ReLU()
        self.linear = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = conv(x).relu()
        return self.linear(self.penultimate(self.hidden(x.flatten(1))))
