"""The suite of the anomaly domain: rows by hand, what is absent, pictures, TensorBoard."""

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from lightning import LightningModule
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from datamodules.anomaly.base import AnomalyDataModule
from datamodules.anomaly.batches import NORMAL, SEEN, UNSEEN, EvaluationBatch
from datamodules.anomaly.protocol import Split
from lit_unlearn.errors import RunFailed
from lit_unlearn.evaluation import anomaly, anomaly_figures
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.report import Row
from tests.anomaly_data import Generated, build_method, trainer


class FirstFeature(LightningModule):
    """A detector whose score is an item's first number."""

    def predict_step(self, batch: EvaluationBatch, batch_idx: int) -> Tensor:
        return batch.x.flatten(1)[:, 0]


class TestItems(AnomalyDataModule):
    """Test items of one number each, which is their score, beside ten unlabeled items of which two are anomalies."""

    __test__ = False

    def __init__(self, normal: list[float], seen: list[float], unseen: list[float]):
        super().__init__(contamination=0.25)
        kind = np.repeat([NORMAL, SEEN, UNSEEN], [len(normal), len(seen), len(unseen)])
        self.test = EvaluationBatch(torch.tensor([*normal, *seen, *unseen])[:, None], torch.from_numpy(kind))
        self.unlabeled, self.labelled = torch.zeros(10, 1), torch.zeros(5, 1)
        nothing = np.empty(0, np.int64)
        truth = np.repeat([NORMAL, SEEN], [8, 2])
        self.parts = Split(np.arange(10), truth, nothing, nothing, nothing, nothing, nothing)


def evaluated(normal: list[float], seen: list[float], unseen: list[float]) -> Evaluation:
    return anomaly.evaluate(FirstFeature(), TestItems(normal, seen, unseen), trainer())


def rows_of(result: Evaluation) -> dict[str, Row]:
    return {row.name: row for row in result.rows}


def test_rows_worked_out_by_hand():
    rows = rows_of(evaluated([1, 2, 3, 4], [3.5, 5], [0, 6]))
    assert list(rows) == [
        *(f"detection/{metric}/{split}" for metric in ("auroc", "auprc") for split in ("all", "seen", "unseen")),
        *("data/contamination/unlabeled", "data/items/labelled"),
    ]
    assert rows["detection/auroc/seen"].value == pytest.approx(7 / 8)
    assert rows["detection/auroc/unseen"].value == pytest.approx(4 / 8)
    assert rows["detection/auroc/all"].value == pytest.approx(11 / 16)
    assert rows["detection/auprc/seen"].value == pytest.approx((1 + 2 / 3) / 2)
    assert rows["detection/auprc/unseen"].value == pytest.approx((1 + 2 / 6) / 2)
    assert [rows[f"detection/auroc/{split}"].n for split in ("all", "seen", "unseen")] == [8, 6, 6]
    assert all(row.better == "higher" and row.ci95 is not None for name, row in rows.items() if "detection" in name)
    contamination = rows["data/contamination/unlabeled"]
    assert (contamination.value, contamination.target, contamination.n) == (0.2, 0.25, 10)
    assert rows["data/items/labelled"].value == 5


def test_items_of_many_batches_keep_their_order():
    normal, seen = np.linspace(0, 1, 2500), np.linspace(0.5, 1.5, 700)
    rows = rows_of(evaluated(normal.tolist(), seen.tolist(), [2.0]))
    by_hand = (normal[None] < seen[:, None]).mean()
    assert rows["detection/auroc/seen"].value == pytest.approx(by_hand, abs=1e-3)
    assert rows["detection/auroc/unseen"].value == 1


def test_kinds_the_test_set_lacks_are_absent_with_the_reason():
    result = evaluated([1, 2, 3], [4], [])
    assert [row.split for row in result.rows if row.metric == "auroc"] == ["all", "seen"]
    assert "detection, split unseen: absent, the test set holds no such anomalies" in result.notes
    result = evaluated([], [4], [5])
    assert not any("detection" in name for name in rows_of(result))
    assert "detection, split seen: absent, the test set holds no normal items" in result.notes


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_end_the_run_with_one_line(broken: float):
    message = r"^1 of 5 anomaly scores are not finite \(the first is that of item 3: (nan|inf)\)"
    with pytest.raises(RunFailed, match=message) as error:
        evaluated([1, 2, 3], [broken], [5])
    assert "\n" not in str(error.value)


def test_a_trainer_that_shares_items_out_is_noticed():
    class Half:
        def predict(self, method: LightningModule, dataloaders: object) -> list[Tensor]:
            return [torch.zeros(2)]

    with pytest.raises(RuntimeError, match="2 scores for 4 items: the trainer must not share them out"):
        anomaly.evaluate(FirstFeature(), TestItems([1, 2], [3], [4]), Half())


def test_alpha_stands_beside_the_share_that_is_true():
    data = TestItems([1, 2], [3], [4])
    method = FirstFeature()
    assert anomaly.alpha_rows(method, data) == []
    method.alpha = torch.tensor(0.3)
    (row,) = anomaly.alpha_rows(method, data)
    assert (row.name, row.value, row.target, row.n) == ("method/alpha/unlabeled", pytest.approx(0.3), 0.2, 10)


@pytest.fixture(scope="module")
def trained():
    """An autoencoder after two epochs on generated pictures, and what the suite makes of it."""
    data = Generated()
    data.setup()
    method = build_method("pu_autoencoder", data.input_shape)
    run = trainer(max_epochs=2)
    run.fit(method, data)
    method.train()
    return method, data, anomaly.evaluate(method, data, run)


def test_an_autoencoder_on_pictures_gets_every_figure(trained, tmp_path: Path):
    method, _, result = trained
    assert list(result.figures) == ["scores", "curves", "extremes", "reconstructions"]
    result.write_figures(tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {f"{name}.png" for name in result.figures}
    assert method.loss.training, "the mode of the network is left as it was"
    assert any("reconstruction" in note for note in result.notes)


def test_reconstructions_are_those_of_eval_mode(trained):
    method, data, _ = trained
    restored = anomaly.reconstruct(method, data.test.x)
    with torch.no_grad():
        expected = method.loss.eval().reconstruct(data.test.x)
        method.loss.train()
    assert torch.equal(restored, expected)


def test_the_result_is_the_same_each_time(trained):
    method, data, result = trained
    again = anomaly.evaluate(method, data, trainer())
    assert (again.rows, again.notes) == (result.rows, result.notes)


def test_new_items_are_scored_into_a_csv_file(trained, tmp_path: Path):
    method, data, _ = trained
    np.savez(tmp_path / "new.npz", X=data.test.x.numpy())
    output = tmp_path / "scores.csv"
    summary = anomaly.score(method, data, trainer(), str(tmp_path / "new.npz"), str(output))
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(data.test.x)
    assert summary == f"{len(rows)} items scored: {output}"
    assert [row["item"] for row in rows[:2]] == ["0", "1"]
    scores = anomaly.predicted_scores(method, trainer(), data.predict_dataloader(), len(rows))
    assert [float(row["score"]) for row in rows] == pytest.approx(scores, rel=1e-5)
    held_out = method.unlabeled_quantiles.double().numpy()
    percentile = [(held_out < score).mean() * 100 for score in scores]
    assert [float(row["percentile"]) for row in rows] == pytest.approx(percentile, abs=2)


def test_tables_get_curves_and_no_pictures():
    result = evaluated([1, 2, 3, 4], [3.5, 5], [0, 6])
    assert list(result.figures) == ["scores", "curves"]


def test_tensorboard_gets_figures_histograms_and_curves(trained, tmp_path: Path):
    _, _, result = trained
    with SummaryWriter(str(tmp_path)) as writer:
        result.log(writer, 7)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert set(tags["images"]) == {"figures/scores", "figures/curves", "figures/extremes", "figures/reconstructions"}
    assert set(tags["histograms"]) == {"scores/normal", "scores/seen", "scores/unseen"}
    assert set(tags["tensors"]) == {"pr/all", "pr/seen", "pr/unseen"}
    assert events.Images("figures/scores")[0].step == 7


def test_a_heavy_tail_gets_a_logarithmic_axis_and_equal_scores_an_axis_at_all():
    kind = np.repeat([NORMAL, SEEN], [900, 100])
    heavy = np.concatenate([np.linspace(0.1, 1, 900), np.geomspace(1, 1e6, 100)])
    axes = anomaly_figures.score_histogram(heavy, kind).axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[1] < 1e6, "the last items do not stretch the axis"
    axes = anomaly_figures.score_histogram(-heavy, kind).axes[0]
    assert axes.get_xscale() == "linear"
    bars = anomaly_figures.score_histogram(np.ones(1000), kind).axes[0].patches[0]
    assert (np.diff(bars.get_data().edges) > 0).all()


def test_every_item_is_in_the_histogram():
    kind = np.repeat([NORMAL, SEEN], [900, 100])
    scores = np.concatenate([np.linspace(0.1, 1, 900), np.geomspace(1, 1e6, 100)])
    axes = anomaly_figures.score_histogram(scores, kind).axes[0]
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [outline.get_data().values.sum() for outline in outlines] == [pytest.approx(100), pytest.approx(100)]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["normal items (900)", "anomalies of seen kinds (100)"]


def test_legends_hold_the_areas_and_their_intervals():
    kind, scores = np.repeat([NORMAL, SEEN], [50, 50]), np.arange(100.0)
    rankings, _ = anomaly.rank_splits(scores, kind)
    members = {split: anomaly.in_split(kind, split) for split in rankings}
    roc, pr = anomaly_figures.ranking_curves(scores, kind, members, rankings).axes
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in (roc, pr)]
    area = "1.000 (1.000 to 1.000)"
    assert legends[0] == [f"all: AUROC {area}", f"seen: AUROC {area}", "chance"]
    assert legends[1] == [f"all: AUPRC {area}", f"seen: AUPRC {area}", "chance (share of anomalies)"]


def test_the_grid_shows_extremes_and_mistakes():
    kind, scores = np.repeat([NORMAL, UNSEEN], [3, 2]), np.array([1.0, 2, 9, 8, 0.5])
    figure = anomaly_figures.extremes(torch.rand(5, 3, 4, 6), scores, kind)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [
        *("lowest scores of all", "unseen 0.500", "normal 1.00", "normal 2.00", "unseen 8.00", "normal 9.00"),
        *("highest scores of all", "normal 9.00", "unseen 8.00", "normal 2.00", "normal 1.00", "unseen 0.500"),
        *("normal items with the highest scores", "normal 9.00", "normal 2.00", "normal 1.00"),
        *("anomalies with the lowest scores", "unseen 0.500", "unseen 8.00"),
    ]
    assert len(figure.axes[0].images) == 5 + 5 + 3 + 2


def test_reconstructions_are_spread_over_each_kinds_scores():
    kind, scores = np.repeat([NORMAL, SEEN], [100, 3]), np.concatenate([np.arange(100.0)[::-1], [5.0, 1, 3]])
    shown = anomaly_figures.spread_over_scores(scores, kind)
    assert scores[shown].tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99, 1, 3, 5]


def test_figures_stay_out_of_pyplots_global_state(trained):
    assert plt.get_fignums() == []
