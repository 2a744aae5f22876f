"""The idea in the plane: an unseen cluster is abnormal to PUSVDD and PUAE, and normal to a PU classifier."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from datamodules.anomaly.batches import NORMAL, SEEN, UNSEEN
from tests.anomaly_data import Clusters, build_method, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")


def auroc_on_the_plane(name: str, seed: int, **values) -> tuple[float, float]:
    """AUROC of the seen and of the unseen cluster: normal items lie along a line, the clusters above and below it."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(1200, 2)) * [1.5, 0.1]
    seen = rng.normal(size=(400, 2)) * 0.3 + [0, 2]
    unseen = rng.normal(size=(200, 2)) * 0.3 - [0, 2]
    data = Clusters(normal, seen, unseen, num_normal=400, contamination=0.1, num_labelled=100, num_test=400, seed=seed)
    data.setup()
    method = build_method(name, [2], seed=seed, learning_rate=1e-3, **values)
    trainer(max_epochs=20, limit_val_batches=0).fit(method, datamodule=data)
    method.eval()
    with torch.no_grad():
        scores, kind = method(data.test.x).numpy(), data.test.kind.numpy()
    pairs = [np.isin(kind, (NORMAL, anomaly)) for anomaly in (SEEN, UNSEEN)]
    seen_auroc, unseen_auroc = (float(roc_auc_score(kind[pair] != NORMAL, scores[pair])) for pair in pairs)
    return seen_auroc, unseen_auroc


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "representation"), [("pu_svdd", 8), ("pu_autoencoder", 1)])
def test_unseen_cluster_ranks_above_normal_items(name: str, representation: int, seed: int):
    seen, unseen = auroc_on_the_plane(name, seed, representation=representation)
    assert seen > 0.98 and unseen > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_classifier_takes_the_unseen_cluster_for_normal(seed: int):
    seen, unseen = auroc_on_the_plane("pu_classifier", seed)
    assert seen > 0.98 and unseen < 0.5
