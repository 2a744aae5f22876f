"""Known lines score 0, others 1."""

from pathlib import Path

from tests.methods.logs.small_log import TEXTS, assert_checkpoint_keeps_scores, build, fit, scores


def test_a_line_is_known_or_new():
    method = build("never_seen")
    fit(method)
    assert scores(method, TEXTS) == [0] * len(TEXTS)
    assert scores(method, ["kernel panic", "start of job", "Start of job [NUM]", "start of  job [NUM]"]) == [1] * 4


def test_only_training_lines_are_known():
    method = build("never_seen")
    method.fit_lines(TEXTS[:2], None)
    assert scores(method, TEXTS[:3]) == [0, 0, 1]


def test_ends_after_one_step_with_the_quantiles_of_held_out_lines():
    method = build("never_seen")
    assert fit(method).global_step == 1
    assert method.unlabeled_quantiles.tolist() == [0] * 1001


def test_checkpoint(tmp_path: Path):
    assert_checkpoint_keeps_scores("never_seen", tmp_path)
