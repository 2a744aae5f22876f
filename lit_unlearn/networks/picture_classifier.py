"""A small convolutional classifier of pictures: the judge of what a diffusion model draws, and a filter of data."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_FEATURES = 64


class PictureClassifier(nn.Module):
    """Three 3x3 convolutions, the second and third with stride 2, then 64 features and a logit for each class.

    Pictures of more than 64 pixels a side are averaged to sides of 64 to 127 first.

    Args:
        input_shape: (C, H, W).
        num_classes: logits.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int):
        super().__init__()
        channels, height, width = input_shape
        shrunk = max(1, min(height, width) // 64)
        layers: list[nn.Module] = [nn.AvgPool2d(shrunk)] if shrunk > 1 else []
        height, width = height // shrunk, width // shrunk
        for before, after, stride in ((channels, 32, 1), (32, 64, 2), (64, 64, 2)):
            layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        flat = 64 * ((height + 3) // 4) * ((width + 3) // 4)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, NUM_FEATURES), nn.ReLU())
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] to (B, 64)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


Objective = Callable[[Tensor, Tensor], Tensor]


def trained_classifier(
    x: Tensor,
    y: Tensor,
    num_classes: int,
    steps: int,
    seed: int,
    objective: Objective = F.cross_entropy,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
) -> PictureClassifier:
    """A classifier trained on the CPU; the same for the same arguments, and the global noise is left as it was.

    Args:
        x: (N, C, H, W) in [-1, 1].
        y: (N,) int64.
        num_classes: of y.
        steps: of Adam, with a learning rate that falls to 0 along a cosine.
        seed: draws the weights and the batches.
        objective: () from (B, num_classes) logits and (B,) y.
        batch_size, learning_rate: of Adam.

    Returns:
        the classifier in eval mode, without gradients.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        network = PictureClassifier(x.shape[1:], num_classes)
        optimiser = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            rows = torch.randint(len(x), (min(batch_size, len(x)),))
            loss = objective(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, batch_size: int = 1000) -> Tensor:
    """`function` of (N, C, H, W), some at a time."""
    return torch.cat([function(part) for part in x.split(batch_size)])
