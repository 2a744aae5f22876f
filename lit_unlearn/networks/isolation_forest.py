"""An isolation forest as tensors: grown by scikit-learn, kept in the state dict, evaluated by torch on any device.

Source: Liu et al., "Isolation Forest", ICDM 2008. Equation numbers are those of this module:

    (1)  c(n) = 2 (ln(n-1) + 0.5772...) - 2 (n-1)/n    mean path of an unsuccessful search in a tree of n items
    (2)  s(x) = 2^(- E[h(x)] / c(m))                   m items a tree; h: depth of the leaf of x plus c(its items)

Tensors rather than the fitted object: a checkpoint read with `weights_only=True` holds nothing else, and the forest
outlives changes of scikit-learn's own format. A tree of m items has at most 2m - 1 nodes, so the shapes are known
before the forest is grown.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import ensemble
from torch import Tensor, nn


def mean_path_length(num_items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Equation (1); 0 for one item, 1 for two."""
    n = np.maximum(num_items, 2).astype(np.float64)
    length = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.select([num_items <= 1, num_items == 2], [0.0, 1.0], length)


class IsolationForestScore(nn.Module):
    """s(x) of equation (2), in (0, 1]; near 1 for what a few random cuts isolate.

    Args:
        num_trees: trees of the forest.
        max_samples: items a tree is grown from; all of them where there are fewer.

    Node tables have the shape (num_trees, 2 max_samples - 1); a leaf is its own left and right child. The thresholds
    are a parameter, not a buffer, because DDP and optimisers refuse a module without one; they have no gradient.
    """

    feature: Tensor
    left: Tensor
    right: Tensor
    unresolved: Tensor
    normaliser: Tensor

    def __init__(self, num_trees: int, max_samples: int):
        super().__init__()
        self.max_samples = max_samples
        shape = (num_trees, 2 * max_samples - 1)
        self.threshold = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.long))
        self.register_buffer("left", torch.zeros(shape, dtype=torch.long))
        self.register_buffer("right", torch.zeros(shape, dtype=torch.long))
        self.register_buffer("unresolved", torch.zeros(shape, dtype=torch.float64))  # c(items of the node)
        self.register_buffer("normaliser", torch.ones((), dtype=torch.float64))  # c(m)

    @torch.no_grad()
    def grow(self, x: Tensor, seed: int) -> None:
        """Grows the forest.

        Args:
            x: (N, ...) items.
            seed: of the random cuts.
        """
        items = x.flatten(1).cpu().numpy()
        samples = min(self.max_samples, len(items))
        forest = ensemble.IsolationForest(n_estimators=len(self.left), max_samples=samples, random_state=seed)
        for number, grown in enumerate(forest.fit(items).estimators_):
            tree = grown.tree_
            nodes = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            tables = {
                self.threshold: np.where(leaf, 0, tree.threshold),
                self.feature: np.where(leaf, 0, tree.feature),
                self.left: np.where(leaf, nodes, tree.children_left),
                self.right: np.where(leaf, nodes, tree.children_right),
                self.unresolved: mean_path_length(tree.n_node_samples),
            }
            for table, values in tables.items():
                table[number, : tree.node_count] = torch.from_numpy(values).to(table)
        self.normaliser.fill_(float(mean_path_length(np.array(samples))))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        trees = torch.arange(len(self.left), device=x.device)
        node = torch.zeros(len(x), len(trees), dtype=torch.long, device=x.device)  # every item at every root
        depth = torch.zeros_like(node)
        for _ in range(math.ceil(math.log2(self.max_samples))):  # the deepest a tree is grown
            left = self.left[trees, node]
            depth += left != node
            goes_left = flat.gather(1, self.feature[trees, node]) <= self.threshold[trees, node]
            node = torch.where(goes_left, left, self.right[trees, node])
        return torch.exp2(-(depth + self.unresolved[trees, node]).mean(1) / self.normaliser).detach()
