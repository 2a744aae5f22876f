"""LogBERT: its sphere and its misses by hand."""

import pytest
import torch

from lit_unlearn.methods.logs.log_bert import LogBERT
from tests.methods.logs.test_log_electra import batch

SMALL = {"vocab_size": 30, "max_length": 16, "hidden": 16, "layers": 1, "dropout": 0.0}


def log_bert(**changed) -> LogBERT:
    torch.manual_seed(0)
    return LogBERT(**SMALL | changed).double()


@pytest.mark.parametrize(("candidates", "misses"), [(1, [1, 1, 0]), (2, [1, 0, 0]), (3, [0, 0, 0])])
def test_a_miss_is_a_token_that_is_not_among_the_likely_ones(candidates: int, misses: list[int]):
    logits = torch.tensor([[0.1, 2.0, 1.0]]).expand(3, -1)
    assert log_bert(candidates=candidates).surprise(logits, torch.tensor([0, 2, 1])).tolist() == misses


def test_the_score_is_the_share_of_misses():
    assert log_bert(candidates=30).eval().line_scores(batch()).tolist() == [0] * 4
    scores = log_bert(candidates=3).eval().line_scores(batch())
    lengths = torch.tensor([4, 2, 1, 3])
    assert torch.equal((scores * lengths).round(), (scores * lengths).round(decimals=9)) and scores.max() > 0


def test_the_objective_by_hand(monkeypatch: pytest.MonkeyPatch):
    method = log_bert(sphere_weight=0.25)
    # The mean is (1, 2): squared distances 1, 1, 0, 0.
    first = torch.tensor([[0.0, 2], [2, 2], [1, 2], [1, 2]], dtype=torch.float64)
    monkeypatch.setattr(method, "predict_masked", lambda lines: (torch.tensor(3.0), first))
    assert method.objective(batch()).item() == pytest.approx(3 + 0.25 * (1 + 1 + 0 + 0) / 4)


def test_the_centre_is_that_of_the_batch_of_all_processes(monkeypatch: pytest.MonkeyPatch):
    method = log_bert(sphere_weight=1.0)
    first = torch.tensor([[0.0, 0], [2, 0]], dtype=torch.float64)
    others = torch.tensor([4.0, 6, 2], dtype=torch.float64)  # sums and number of two lines of another process
    monkeypatch.setattr(method, "predict_masked", lambda lines: (torch.tensor(0.0), first))
    monkeypatch.setattr("lit_unlearn.methods.logs.log_bert.all_reduce_sum", lambda sums: sums + others)
    # The centre is (6, 6) / 4 = (1.5, 1.5): squared distances 4.5 and 2.5.
    assert method.objective(batch()).item() == pytest.approx((4.5 + 2.5) / 2)
