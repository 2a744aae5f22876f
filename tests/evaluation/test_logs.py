"""The suite of the logs domain: rows by hand, what is absent, notes, pictures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.logs.batches import CLS, SEP, LineBatch, padded
from lit_unlearn.errors import RunFailed
from lit_unlearn.evaluation import logs
from lit_unlearn.evaluation.logs_levels import scored_lines
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.report import Row

TAGS = ["-", "DISK", "AUTH"]


class Lines:
    """What the suite needs of a log data module. A text is its score, with a word behind it: "3.5 word".

    Args:
        test: (text, tag, seconds) of each line of the test part.
        train: texts of the training part, which has no alerts.
        others: attributes to set.
    """

    def __init__(self, test: list[tuple[str, str, int]], train: list[str] | None = None, **others: Any):
        train = ["0 training"] if train is None else train
        texts = train + [text for text, _, _ in test]
        self.texts = list(dict.fromkeys(texts))
        self.tags = TAGS
        self.line = np.array([self.texts.index(text) for text in texts])
        self.tag = np.array([0] * len(train) + [TAGS.index(tag) for _, tag, _ in test])
        self.time = np.array([-1000] * len(train) + [time for _, _, time in test])
        self.train, self.test = np.arange(len(train)), np.arange(len(train), len(texts))
        self.split, self.unlabeled, self.num_dropped, self.num_read = "chronological", False, 0, len(texts)
        self.num_scored, self.reader = 0, None
        vars(self).update(others)

    def hashes(self) -> dict[str, str]:
        return {"train": "0123456789abcdef", "test": "fedcba9876543210"}

    def loader(self, distinct: NDArray) -> DataLoader:
        """Batches of two, the longest texts first."""
        texts = [self.texts[i] for i in distinct]
        order: NDArray = np.argsort([-len(text) for text in texts], kind="stable")
        self.num_scored += len(distinct)
        batches = []
        for start in range(0, len(order), 2):
            chosen = [texts[i] for i in order[start : start + 2]]
            tokens = padded([[CLS, *range(5, 5 + len(text.split())), SEP] for text in chosen])
            count = torch.ones(len(chosen), dtype=torch.int64)
            batches.append(LineBatch(tokens, torch.zeros(len(chosen), dtype=torch.bool), count, chosen))
        return DataLoader(Batches(batches, order), batch_size=None)


class Batches(list):
    """Batches, and which of the distinct lines come when."""

    def __init__(self, batches: list[LineBatch], order: NDArray):
        super().__init__(batches)
        self.order = order


class FirstWord(LightningModule):
    """A detector whose score of a line is its first word.

    Args:
        quantile: the .999 quantile of the held-out lines' scores.
    """

    def __init__(self, quantile: float = 2.5):
        super().__init__()
        quantiles = torch.linspace(-100, quantile, 1001)
        quantiles[999:] = torch.tensor([quantile, 1e6])
        self.register_buffer("unlabeled_quantiles", quantiles)

    def predict_step(self, batch: LineBatch, batch_idx: int) -> Tensor:
        return torch.tensor([float(text.split()[0]) for text in batch.text])


class Sequence(FirstWord):
    """A detector that looks at the lines before, and gives these scores.

    Args:
        score: (data) -> scores of the test lines.
    """

    def __init__(self, score: Callable[[Any], NDArray]):
        super().__init__()
        self.sequence_scores = score


def trainer() -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", **quiet, enable_model_summary=False)


def evaluated(data: Lines, method: LightningModule | None = None) -> Evaluation:
    return logs.evaluate(FirstWord() if method is None else method, data, trainer())


def rows_of(result: Evaluation) -> dict[str, Row]:
    return {row.name: row for row in result.rows}


BY_HAND = [
    ("1 a", "-", 0),
    ("1 a", "-", 10),
    ("2 b", "DISK", 20),
    ("3 c", "-", 3000),
    ("4 d", "AUTH", 4000),
    ("4 d", "AUTH", 4001),
    ("1 a", "-", 9000),
    ("4 d", "-", 9001),
]
"""Lines by score: 4 (two alerts and a normal one), 3 (normal), 2 (alert), 1 (three normal ones)."""


@pytest.fixture(scope="module")
def by_hand() -> Evaluation:
    return evaluated(Lines(BY_HAND, ["1 a", "9 other", "1 a"]))


def test_areas_worked_out_by_hand(by_hand: Evaluation):
    rows = rows_of(by_hand)
    # lines: the alerts of 4 beat 4 of 5 and tie with one, that of 2 beats 3.
    assert rows["detection/auroc/line"].value == pytest.approx((4.5 + 4.5 + 3) / 15)
    assert rows["detection/auprc/line"].value == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 5)
    # distinct: alerts 2 and 4 (one of whose lines is normal), normal 1 and 3.
    assert rows["detection/auroc/distinct"].value == pytest.approx(3 / 4)
    # hours: (1 1 2 3 alert), (4 4 alert), (1 4 normal): scores 3, 4, 4.
    assert rows["detection/auroc/window_60min"].value == pytest.approx(0.5 / 2)
    counts = {name.split("/")[2]: row.n for name, row in rows.items() if name.startswith("detection/auroc")}
    assert counts == {"line": 8, "distinct": 4, "window_60min": 3, "AUTH": 2, "DISK": 1}
    assert all(rows[f"detection/auroc/{split}"].ci95 for split in ("line", "distinct", "window_60min"))


def test_the_oracle_is_chosen_for_each_split(by_hand: Evaluation):
    rows = rows_of(by_hand)
    # lines: above 3: TP 2, FP 1, FN 1; F1 4/6. Above 1: TP 3, FP 2; F1 6/8.
    assert rows["detection/f1_oracle/line"].value == pytest.approx(6 / 8)
    assert rows["detection/precision_oracle/line"].value == pytest.approx(3 / 5)
    assert rows["detection/specificity_oracle/line"].value == pytest.approx(3 / 5)
    # distinct: above 1: TP 2, FP 1; 4/5. Windows: all flagged, 4/5.
    assert rows["detection/f1_oracle/distinct"].value == pytest.approx(4 / 5)
    assert rows["detection/f1_oracle/window_60min"].value == pytest.approx(4 / 5)
    assert rows["detection/specificity_oracle/window_60min"].value == 0


def test_the_oracles_of_lines_and_distinct_lines_may_differ():
    rows = rows_of(evaluated(Lines([("4 d", "AUTH", 0), ("2 b", "DISK", 1), ("1 a", "-", 2), *[("3 c", "-", 3)] * 10])))
    assert rows["detection/f1_oracle/line"].value == pytest.approx(2 / 3)  # above 3; above 1 it is 4/14
    assert rows["detection/f1_oracle/distinct"].value == pytest.approx(4 / 5)  # above 1; above 3 it is 2/3


def test_the_thresholds_on_lines_serve_all_splits(by_hand: Evaluation):
    rows = rows_of(by_hand)

    def decided(policy: str, split: str) -> list[float]:
        return [rows[f"detection/{m}_{policy}/{split}"].value for m in ("f1", "precision", "recall", "specificity")]

    # quantile 2.5 flags scores 3 and 4
    assert decided("quantile", "line") == pytest.approx([4 / 7, 2 / 4, 2 / 3, 3 / 5])
    assert decided("quantile", "distinct") == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1 / 2])
    assert decided("quantile", "window_60min") == pytest.approx([4 / 5, 2 / 3, 1, 0])
    # contamination: 3 of 8 are flagged, those of score 4
    assert decided("contamination", "line") == pytest.approx([4 / 6, 2 / 3, 2 / 3, 4 / 5])
    assert decided("contamination", "distinct") == pytest.approx([2 / 3, 1, 1 / 2, 1])
    assert decided("contamination", "window_60min") == pytest.approx([1 / 2, 1 / 2, 1 / 2, 0])


def test_each_alert_tag_against_all_normal_lines(by_hand: Evaluation):
    rows = rows_of(by_hand)
    assert [rows[f"detection/recall/{tag}"].value for tag in ("AUTH", "DISK")] == [1, 0]
    assert rows["detection/auroc/AUTH"].value == pytest.approx(4.5 / 5)
    assert rows["detection/auroc/DISK"].value == pytest.approx(3 / 5)
    assert [row.split for row in by_hand.rows if row.metric == "recall"] == ["AUTH", "DISK"], "the more frequent first"


def test_rows_on_the_data(by_hand: Evaluation):
    rows = rows_of(by_hand)
    assert rows["data/seen_share/test"].value == 3 / 8  # "1 a" three times
    assert (rows["data/items/train"].value, rows["data/items/test"].value) == (3, 8)
    assert rows["data/contamination/test"].value == 3 / 8


def test_names_and_their_order(by_hand: Evaluation):
    splits = ("line", "distinct", "window_60min")
    metrics = [f"{m}_{p}" for p in ("oracle", "quantile", "contamination") for m in logs.Decisions._fields]
    assert [row.name for row in by_hand.rows] == [
        *(f"detection/{metric}/{split}" for metric in ("auroc", "auprc", *metrics) for split in splits),
        *(f"detection/{metric}/{tag}" for metric in ("recall", "auroc") for tag in ("AUTH", "DISK")),
        *("data/seen_share/test", "data/items/train", "data/items/test", "data/contamination/test"),
    ]


def test_notes_say_how_numbers_came_about(by_hand: Evaluation):
    notes = "\n".join(by_hand.notes)
    assert "split chronological: train 0123456789abcdef, test fedcba9876543210" in notes
    assert "1 of 4 texts of the test part occur with and without an alert" in notes
    assert "detection, split window_100: absent, the test part holds nothing without an alert" in notes
    assert "policy quantile: 2.5, the .999 quantile" in notes
    assert "alerts among the evaluated lines, 37.5 %, is taken as known" in notes
    assert "as closely as equal scores allow: 37.5 %" in notes
    assert "what scores higher is flagged: 50 % of the evaluated lines" in notes
    assert "policy oracle" in notes and "optimistic" in notes
    assert "intervals: bootstrap" in notes
    assert "drawn at random" not in notes and "left out" not in notes


def test_windows_of_100_lines_in_time_order():
    # 250 lines; the file has them backwards. In time order line k has score k / 1000, but 7 at 150; alerts at 150, 249.
    lines = [(f"{k / 1000 if k != 150 else 7} x", "DISK" if k in (150, 249) else "-", k) for k in range(250)]
    data = Lines(lines[::-1])
    result = evaluated(data)
    rows = rows_of(result)
    # windows: 0-99 (.099, normal), 100-199 (7, alert), 200-249 (.249, alert)
    assert rows["detection/auroc/window_100"].n == 3
    assert rows["detection/auroc/window_100"].value == 1
    assert rows["detection/f1_oracle/window_100"].value == 1
    assert rows["detection/recall_quantile/window_100"].value == 1 / 2
    assert data.num_scored == 250


def test_hours_begin_with_the_first_test_line_and_empty_ones_are_no_windows():
    rows = rows_of(
        evaluated(Lines([("1 a", "-", 3599), ("2 b", "DISK", 7198), ("3 c", "-", 7199), ("4 d", "AUTH", 99999)]))
    )
    assert rows["detection/auroc/window_60min"].n == 3  # 3599 and 7198; 7199; 99999
    assert rows["detection/auroc/window_60min"].value == 1 / 2  # alerts 2 and 4, normal 3


def test_texts_are_scored_once():
    data = Lines(BY_HAND)
    evaluated(data)
    assert data.num_scored == 4


def test_scores_find_their_lines_whatever_the_order_of_the_batches():
    rng = np.random.default_rng(0)
    test = [(f"{k} {'word ' * int(rng.integers(1, 9))}".strip(), "-", n) for n, k in enumerate(rng.permutation(101))]
    lines = scored_lines(FirstWord(), Lines(test), trainer())
    assert lines.score.tolist() == [float(text.split()[0]) for text, _, _ in test]


def test_a_method_that_looks_at_the_lines_before_scores_occurrences():
    data = Lines([("1 a", "-", 0), ("1 a", "-", 1), ("1 a", "DISK", 2), ("2 b", "-", 3)])
    method = Sequence(lambda data: np.array([0.0, 1.0, 5.0, 2.0]))
    lines = scored_lines(method, data, trainer())
    assert lines.score.tolist() == [0, 1, 5, 2]
    assert lines.text_score.tolist() == [2, 2]
    assert data.num_scored == 0
    rows = rows_of(evaluated(data, method))
    assert rows["detection/auroc/line"].value == 1
    assert rows["detection/auroc/distinct"].value == 1 / 2


def test_the_mean_of_equal_scores_is_that_score():
    data = Lines([("1 a", "-", k) for k in range(49)] + [("2 b", "DISK", 49)])
    lines = scored_lines(Sequence(lambda data: np.full(50, 0.1)), data, trainer())
    assert set(lines.text_score) == {0.1}


def test_a_log_without_times_has_no_hours():
    data = Lines(BY_HAND)
    data.time = np.arange(len(data.time))
    result = evaluated(data)
    assert not any(row.split == "window_60min" for row in result.rows)
    assert "detection, split window_60min: absent, the log has no times" in result.notes


def test_a_random_split_is_said_to_thin_out_windows():
    assert any("drawn at random" in note for note in evaluated(Lines(BY_HAND, split="random")).notes)


def test_lines_left_out_are_counted():
    notes = evaluated(Lines(BY_HAND, num_dropped=3, num_read=20)).notes
    assert "3 of 20 lines left out: they do not fit the format" in notes


def test_without_alerts_there_is_no_detection_and_the_reason_is_given():
    result = evaluated(Lines([("1 a", "-", 0), ("2 b", "-", 1)]))
    assert [row.suite for row in result.rows] == ["data"] * 4
    for split in ("line", "distinct", "window_100", "window_60min"):
        assert f"detection, split {split}: absent, the test part holds no alert" in result.notes
    assert list(result.figures) == ["scores", "top_lines"]
    assert list(result.histograms) == ["scores/normal"]


def test_without_labels_nothing_is_said_about_the_contamination():
    result = evaluated(Lines([("1 a", "-", 0), ("2 b", "-", 1)], unlabeled=True))
    assert not any(row.metric == "contamination" for row in result.rows)
    assert any("read without labels" in note for note in result.notes)


def test_without_held_out_scores_there_is_no_quantile_policy():
    result = evaluated(Lines(BY_HAND), FirstWord(float("nan")))
    assert not any("quantile" in row.metric or row.metric == "recall" for row in result.rows)
    assert "policy quantile: absent, the method knows no held-out lines' scores" in result.notes
    assert "tags" in result.figures


@pytest.mark.parametrize("broken", ["nan", "inf"])
def test_scores_that_are_no_numbers_end_the_run_with_one_line(broken: str):
    with pytest.raises(RunFailed, match=f"^1 of 2 line scores are not finite \\(the first is {broken}\\)") as error:
        evaluated(Lines([("1 a", "-", 0), (f"{broken} b", "DISK", 1)]))
    assert "\n" not in str(error.value)


def test_a_trainer_that_shares_lines_out_is_noticed():
    class Half:
        def predict(self, method: LightningModule, dataloaders: object) -> list[Tensor]:
            return [torch.zeros(2)]

    with pytest.raises(RuntimeError, match="2 scores for 4 lines: the trainer must not share them out"):
        logs.evaluate(FirstWord(), Lines(BY_HAND), Half())


def test_the_result_is_the_same_each_time(by_hand: Evaluation):
    again = evaluated(Lines(BY_HAND, ["1 a", "9 other", "1 a"]))
    assert (again.rows, again.notes) == (by_hand.rows, by_hand.notes)
