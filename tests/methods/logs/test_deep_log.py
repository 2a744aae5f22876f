"""The LSTM over templates: its score, its histories, its training, its checkpoint."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn.methods.logs import deep_log
from lit_unlearn.methods.logs.deep_log import surprise
from tests.methods.logs.small_log import (
    TEXTS,
    SmallLog,
    assert_checkpoint_keeps_scores,
    build,
    fit,
    line_batch,
    scores,
)

SMALL = {"hidden": 8, "max_templates": 12, "history": 3}


def test_surprise_by_hand():
    # Two templates exist, of the three there is room for; softmax(0, ln 3) = (1/4, 3/4).
    logits = torch.tensor([[0, math.log(3), -math.inf]], dtype=torch.float64).expand(3, -1)
    computed = surprise(logits, torch.tensor([0, 1, 3]))
    expected = [-math.log(0.999 * p + 0.001 / 3) for p in (0.25, 0.75, 0)]
    assert computed.tolist() == pytest.approx(expected, rel=1e-12)


def test_nothing_surprises_more_than_a_new_line():
    logits = torch.tensor([[0.0, 1e4]]).expand(3, -1)
    likely, unlikely, new = surprise(logits, torch.tensor([1, 0, 2]))
    assert likely == pytest.approx(0, abs=1e-3)
    assert unlikely == new == pytest.approx(math.log(3) + math.log(1 / deep_log.NEW))


def test_a_history_is_the_lines_before_whatever_comes_after():
    method = build("deep_log", **SMALL)
    fit(method)
    sequence = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    whole = method.logits(sequence, torch.arange(8))
    for place in range(3, 8):
        before = sequence[place - 3 : place]
        alone = method.logits(torch.cat([before, torch.tensor([4])]), torch.tensor([3]))
        torch.testing.assert_close(alone[0], whole[place])
    changed = sequence.clone()
    changed[4] = 1  # is not in the histories of 0 to 4, nor in that of 8 and later
    differs = (method.logits(changed, torch.arange(8)) != whole).any(1)
    assert differs.tolist() == [False] * 5 + [True] * 3


def test_before_the_log_is_as_after_new_lines():
    method = build("deep_log", **SMALL)
    fit(method)
    assert method.template_numbers(["kernel panic"]).tolist() == [12]
    at_once = method.logits(torch.tensor([0]), torch.tensor([0]))
    torch.testing.assert_close(at_once, method.logits(torch.tensor([12, 12, 12, 0]), torch.tensor([3])))
    assert not torch.allclose(at_once, method.logits(torch.tensor([0, 0, 0, 0]), torch.tensor([3])))


def test_templates_that_do_not_exist_have_no_probability():
    method = build("deep_log", **SMALL)
    fit(method)
    number = len(method.templates.templates)
    assert number == 5  # login of user <*>
    probability = method.logits(torch.tensor([0, 1]), torch.tensor([1])).softmax(1)[0]
    assert probability[number:].sum() == 0 and probability[:number].min() > 0


def test_rare_templates_beyond_the_most_are_new():
    method = build("deep_log", **SMALL | {"max_templates": 4})
    fit(method)
    assert len(method.templates.templates) == 4
    assert scores(method, [TEXTS[4]]) == scores(method, ["kernel panic"])
    assert (method.training_sequence == 4).any() and not (method.training_sequence[method.places] == 4).any()


def test_learns_what_follows_what_and_scores_test_lines_in_their_place():
    data, method = SmallLog(), build("deep_log", **SMALL | {"hidden": 32, "learning_rate": 0.02})
    fit(method, max_epochs=120)
    computed = method.sequence_scores(data)
    assert computed.shape == (50,)
    by_line = dict(zip(data.test.tolist(), computed, strict=True))
    assert np.median(computed) < 0.1
    highest = sorted(by_line, key=lambda line: by_line[line])[-2:]
    assert 470 in highest and by_line[470] == pytest.approx(math.log(6) + math.log(1000))  # kernel panic
    # On their own all four frequent lines are equally surprising: with the lines before them they are expected.
    assert min(scores(method, TEXTS[:4])) > 1


def test_a_line_on_its_own_has_the_share_of_its_template():
    data, method = SmallLog(), build("deep_log", **SMALL)
    fit(method)
    share = [(data.line[data.train] == 0).mean(), np.isin(data.line[data.train], (4, 5)).mean()]
    expected = [-math.log(0.999 * p + 0.001 / 6) for p in share]
    assert scores(method, [TEXTS[0], "login of user carl"]) == pytest.approx(expected, rel=1e-5)


def test_quantiles_are_those_of_held_out_lines_in_sequence():
    data, method = SmallLog(), build("deep_log", **SMALL)
    fit(method)
    held_out = method.scores_at(method.template_sequence(data), data.validation)
    assert method.unlabeled_quantiles[-1] == held_out.max()
    assert method.unlabeled_quantiles[0] == held_out.min()


def test_draws_as_many_places_as_the_batch_has_lines_of_the_training_sequence_only(monkeypatch: pytest.MonkeyPatch):
    data, method = SmallLog(), build("deep_log", **SMALL)
    fit(method)
    assert torch.equal(method.training_sequence, method.template_sequence(data)[data.train])
    asked = []
    whole = method.logits
    monkeypatch.setattr(method, "logits", lambda *given: asked.append(given) or whole(*given))
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        method.training_step(line_batch(["a line"] * 64), 0)
    assert all(sequence is method.training_sequence and len(places) == 64 for sequence, places in asked)
    assert torch.equal(asked[0][1], asked[1][1]) and not torch.equal(asked[0][1], asked[2][1])


def test_checkpoint(tmp_path: Path):
    assert_checkpoint_keeps_scores("deep_log", tmp_path)


def test_resumes_to_the_same_network(tmp_path: Path):
    whole, again = build("deep_log", **SMALL), build("deep_log", **SMALL)
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    fit(whole, max_epochs=4, callbacks=[saver], enable_checkpointing=True)
    fit(again, tmp_path / "step=2.ckpt", max_epochs=4)
    assert torch.equal(again.unlabeled_quantiles, whole.unlabeled_quantiles)
    for name, value in whole.named_parameters():
        assert torch.equal(value, again.get_parameter(name)), name
    halfway = torch.load(tmp_path / "step=2.ckpt", weights_only=True)["state_dict"]
    assert not torch.equal(halfway["output.weight"], whole.output.weight)
