"""Pictures of the log suite, and what TensorBoard gets."""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from lit_unlearn.evaluation import logs_figures
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.counted_ranking import counted, counted_ranking
from lit_unlearn.report import Row
from tests.evaluation.test_logs import Lines, by_hand as by_hand, evaluated


def test_tensorboard_gets_figures_histograms_and_curves(by_hand: Evaluation, tmp_path: Path):
    with SummaryWriter(str(tmp_path)) as writer:
        by_hand.log(writer, 7)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert set(tags["images"]) == {f"figures/{name}" for name in ("scores", "top_lines", "curves", "tags")}
    assert set(tags["histograms"]) == {"scores/normal", "scores/alert"}
    assert set(tags["tensors"]) == {"pr/line", "pr/distinct", "pr/window_60min"}


def test_every_line_is_in_the_histogram():
    scores = np.concatenate([np.linspace(0.1, 1, 900), np.geomspace(1, 1e6, 100)])
    lines = counted(scores, np.repeat([False, True], [900, 100]))
    axes = logs_figures.score_histogram(lines, {"quantile": 3.0, "contamination": 1e9}).axes[0]
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [outline.get_data().values.sum() for outline in outlines] == [900, 100]
    legend = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert legend == ["lines without an alert (900)", "alerts (100)", "threshold quantile"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_equal_scores_get_an_axis_at_all():
    lines = counted(np.ones(50), np.arange(50) < 5)
    bars = logs_figures.score_histogram(lines, {}).axes[0].patches[0]
    assert (np.diff(bars.get_data().edges) > 0).all()


def test_legends_hold_the_areas_and_their_intervals():
    items = counted(np.arange(100.0), np.arange(100) >= 50)
    roc, pr = logs_figures.ranking_curves({"distinct": (items, counted_ranking(items))}).axes
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in (roc, pr)]
    assert legends[0] == ["distinct: AUROC 1.000 (1.000 to 1.000)", "chance"]
    assert legends[1] == ["distinct: AUPRC 1.000 (1.000 to 1.000)", "chance (share of alerts)"]


def test_bars_are_the_recalls_of_the_tags(by_hand: Evaluation):
    axes = by_hand.figures["tags"].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1, 0]
    assert axes.lines[0].get_xdata() == pytest.approx([4.5 / 5, 3 / 5])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["AUTH (2)", "DISK (1)"]


def test_only_the_most_frequent_of_many_tags_are_shown():
    rows = [Row("detection", f"T{k}", "auroc", 0.5, 100 - k, None, "higher") for k in range(60)]
    axes = logs_figures.tag_recall(rows).axes[0]
    assert len(axes.get_yticklabels()) == 40
    assert "the 40 most frequent of 60" in axes.get_title()


def test_the_top_lines_are_those_of_the_highest_scores(by_hand: Evaluation):
    texts = [text.get_text() for text in by_hand.figures["top_lines"].axes[0].texts]
    assert [texts[k : k + 4] for k in range(0, len(texts), 4)] == [
        ["score", "lines", "tag", "text"],
        ["4", "3", "AUTH", "4 d"],
        ["3", "1", "-", "3 c"],
        ["2", "1", "DISK", "2 b"],
        ["1", "3", "-", "1 a"],
    ]


def test_any_text_can_be_drawn(tmp_path: Path):
    test = [
        ("5 costs $x^$ a piece", "DISK", 0),
        ("4 \u53d7 \ufffd \x07 \x1b[0m", "-", 1),
        (f"3 {'long ' * 99}", "AUTH", 2),
    ]
    data = Lines(test)
    data.tags = ["-", "$a_$", "\u53d7"]
    result = evaluated(data)
    with warnings.catch_warnings(action="error"):
        result.write_figures(tmp_path)
    texts = [text.get_text() for text in result.figures["top_lines"].axes[0].texts]
    assert "4 \\u53d7 \\ufffd \\x07 \\x1b[0m" in texts
    assert max(map(len, texts)) <= 144


def test_figures_stay_out_of_pyplots_global_state(by_hand: Evaluation):
    assert plt.get_fignums() == []
