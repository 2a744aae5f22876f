"""What the methods with one masked language model share: the loss, and each token masked by itself in scoring."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.logs.batches import CLS, MASK, PAD, SEP, counted, padded
from lit_unlearn.methods.logs import masked_model
from lit_unlearn.methods.logs.masked_model import MaskedModel
from tests.methods.logs.test_log_electra import LINES, batch


class Plain(MaskedModel):
    """The surprise is the token's logit."""

    def surprise(self, logits: Tensor, tokens: Tensor) -> Tensor:
        return logits.gather(1, tokens[:, None])[:, 0]


def plain(**changed) -> Plain:
    torch.manual_seed(0)
    sizes = {"vocab_size": 30, "max_length": 16, "hidden": 16, "layers": 1, "dropout": 0.0}
    return Plain(**sizes | changed)


def test_the_loss_is_the_cross_entropy_at_masked_tokens(monkeypatch: pytest.MonkeyPatch):
    method, lines = plain().double(), batch()
    masked = padded([[0, 1, 0, 1, 0, 0], [0, 0, 1], [0, 1], [0, 0, 1, 0, 0]]).bool()
    monkeypatch.setattr(masked_model, "masked_positions", lambda own, share: masked)
    loss, first = method.predict_masked(lines)
    seen = lines.tokens.masked_fill(masked, MASK)
    logits, expected_first = method.model(seen, lines.tokens != PAD, masked)
    torch.testing.assert_close(loss, F.cross_entropy(logits, lines.tokens[masked]), rtol=1e-14, atol=0)
    torch.testing.assert_close(first, expected_first)
    assert torch.equal(method.objective(lines), loss)


def test_labelled_lines_are_not_trained_on():
    method, lines = plain(), batch(num_labelled=1)
    losses = []
    for tokens in (lines, batch(LINES[:3])._replace(tokens=lines.tokens[:3])):
        torch.manual_seed(1)
        losses.append(method.objective(tokens))
    assert torch.equal(*losses)


def test_each_token_is_judged_without_itself_and_with_all_others():
    method, tokens = plain().eval(), padded(LINES)
    scores = method.token_scores(tokens)
    for b, t in counted(tokens).nonzero().tolist():
        line = list(LINES[b])
        line[t] = MASK
        asked = torch.zeros(1, len(line), dtype=torch.bool)
        asked[0, t] = True
        logits, _ = method.model(torch.tensor([line]), torch.ones(1, len(line), dtype=torch.bool), asked)
        assert scores[b, t].item() == pytest.approx(logits[0, LINES[b][t]].item(), abs=1e-6)
    assert (scores[~counted(tokens)] == 0).all()


def test_a_tokens_score_does_not_know_the_token_at_its_place():
    method = plain().eval()
    logits = [next(method.masked_one_by_one(torch.tensor([[CLS, 9, token, 7, SEP]])))[2][1] for token in (8, 20)]
    assert torch.equal(*logits)
    others = [next(method.masked_one_by_one(torch.tensor([[CLS, token, 8, 7, SEP]])))[2][1] for token in (9, 20)]
    assert not torch.equal(*others)


@pytest.mark.parametrize("at_once", [1, 13, 100_000])
def test_how_many_are_masked_at_a_time_does_not_matter(at_once: int, monkeypatch: pytest.MonkeyPatch):
    method, tokens = plain().eval(), padded(LINES * 3)
    whole = method.token_scores(tokens)
    monkeypatch.setattr(masked_model, "TOKENS_AT_ONCE", at_once)
    torch.testing.assert_close(method.token_scores(tokens), whole, rtol=0, atol=1e-6)


def test_a_line_scores_the_mean_of_its_tokens():
    method = plain().eval()
    tokens = method.token_scores(padded(LINES))
    expected = [tokens[i].sum().item() / (len(line) - 2) for i, line in enumerate(LINES)]
    assert method.line_scores(batch()).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_scores_are_float32_or_wider_in_any_precision(precision: torch.dtype):
    scores = plain().to(precision).eval().line_scores(batch())
    assert scores.dtype == torch.promote_types(precision, torch.float32)
    torch.testing.assert_close(scores.float(), plain().eval().line_scores(batch()), rtol=0, atol=0.01)
