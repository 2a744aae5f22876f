"""How far generated items are from real ones, in the features of some network."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn


class _AsTheyAre(nn.Module):
    """Stands in for torchmetrics' feature network: what it is given are features."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Frechet distance of two Gaussians fitted to features (Heusel et al., 2017), by torchmetrics, in float64.

    Args:
        real: (N, d), N > 1.
        generated: (M, d), M > 1.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    # Where the first process alone measures, the others do not take part: torchmetrics would wait for them.
    metric = FrechetInceptionDistance(feature=_AsTheyAre(real.shape[1]), sync_on_compute=False)
    metric.set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, generated: Tensor, subsets: int = 50) -> float:
    """Kernel distance (KID, Binkowski et al., 2018): the squared MMD of a cubic kernel, by torchmetrics, in float64.

    Args:
        real: (N, d), N > 1.
        generated: (M, d), M > 1.
        subsets: random subsets of min(N, M, 1000) items whose distances are averaged; drawn with a seed of their own.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(real), len(generated), 1000)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", ".*will save all extracted features")
        torch.default_generator.manual_seed(0)
        network = _AsTheyAre(real.shape[1])
        metric = KernelInceptionDistance(network, subsets=subsets, subset_size=size, sync_on_compute=False)
        metric.update(real.double(), real=True)
        metric.update(generated.double(), real=False)
        return float(metric.compute()[0])


class Manifolds(NamedTuple):
    """Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019.

    Attributes:
        precision: share of the generated items inside the real ones' manifold.
        recall: share of the real items inside the generated ones' manifold.
    """

    precision: float
    recall: float


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> Manifolds:
    """A manifold is the union of balls around its items that reach to the k-th nearest other one.

    Args:
        real: (N, d) features, N > k.
        generated: (M, d) features, M > k.
    """
    real, generated = real.double(), generated.double()
    between = torch.cdist(generated, real)
    inside_real = (between <= _radii(real, k)).any(1)
    inside_generated = (between <= _radii(generated, k)[:, None]).any(0)
    return Manifolds(inside_real.double().mean().item(), inside_generated.double().mean().item())


def _radii(features: Tensor, k: int) -> Tensor:
    """(N,) distance of each item to its k-th nearest other one."""
    return torch.cdist(features, features).kthvalue(k + 1, dim=1).values  # the nearest is the item itself


def nearest(items: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to, and number of, the nearest of (N, d) items for each of (M, d)."""
    return torch.cdist(items.double(), among.double()).min(1)
