"""DATE: its three losses, its patterns, and that LogELECTRA is what is left without the second head."""

import pytest
import torch
from torch.nn import functional as F

from datamodules.logs.batches import CLS, MASK, PAD, SEP, LineBatch, counted, padded
from lit_unlearn.methods.logs.date import DATE
from lit_unlearn.methods.logs.log_electra import LogElectra
from tests.methods.logs.test_log_electra import LINES, batch

SMALL = {"vocab_size": 30, "max_length": 16, "hidden": 16, "layers": 1, "dropout": 0.0}
LEARNED = {"generator": "learned", "generator_hidden": 8}


def date(**changed) -> DATE:
    torch.manual_seed(0)
    return DATE(**SMALL | {"num_patterns": 5} | changed).double()


def corruptions(method: DATE, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What `corrupt` is given and gives."""
    seen = []
    corrupt = method.corrupt

    def recorded(*given):
        seen.append((*given, *corrupt(*given)))
        return seen[-1][-2:]

    monkeypatch.setattr(method, "corrupt", recorded)
    return seen


@pytest.mark.parametrize("generator", ["random", "learned"])
def test_the_objective_is_equation_1(generator: str, monkeypatch: pytest.MonkeyPatch):
    method, lines = date(**LEARNED | {"generator": generator}, pattern_weight=3.0, discriminator_weight=7.0), batch()
    seen = corruptions(method, monkeypatch)
    drawn = []
    randint = torch.randint
    monkeypatch.setattr(torch, "randint", lambda *a, **k: drawn.append(randint(*a, **k)) or drawn[-1])
    torch.manual_seed(1)
    loss = method.objective(lines)
    ((tokens, _, attended, corrupted, generator_loss),) = seen
    assert torch.equal(tokens, lines.tokens) and torch.equal(attended, tokens != PAD)
    doubts, guesses = method.discriminator(corrupted, attended)
    pattern_loss = F.cross_entropy(guesses, drawn[0])
    own = counted(tokens)
    found = F.binary_cross_entropy(doubts.sigmoid()[own], (corrupted != tokens)[own].double())
    torch.testing.assert_close(loss, 3.0 * pattern_loss + generator_loss + 7.0 * found, rtol=1e-6, atol=0)
    assert (generator_loss == 0) == (generator == "random")


def test_without_the_second_head_it_is_logelectra(monkeypatch: pytest.MonkeyPatch):
    """For the same corrupted lines and the same lambda, with the same networks."""
    torch.manual_seed(0)
    electra = LogElectra(**SMALL, generator_hidden=8, generator_layers=1, discriminator_weight=50.0).double()
    method = date(**LEARNED, pattern_weight=0.0, discriminator_weight=50.0)
    method.generator.load_state_dict(electra.generator.state_dict())
    method.discriminator.load_state_dict(electra.discriminator.state_dict(), strict=False)
    seen = corruptions(method, monkeypatch)
    torch.manual_seed(1)
    loss = method.objective(batch())
    ((_, masked, _, corrupted, _),) = seen
    module = "lit_unlearn.methods.logs.log_electra"
    monkeypatch.setattr(f"{module}.masked_positions", lambda own, share: masked)
    monkeypatch.setattr(f"{module}.fill", lambda guesses, greedy: corrupted[masked])
    torch.testing.assert_close(loss, electra.objective(batch()), rtol=1e-14, atol=0)
    monkeypatch.setattr(f"{module}.fill", lambda guesses, greedy: (corrupted[masked] + 1) % 30)
    assert not torch.isclose(loss, electra.objective(batch()))


def test_masks_are_those_of_the_patterns(monkeypatch: pytest.MonkeyPatch):
    method = date(num_patterns=3)
    seen = corruptions(method, monkeypatch)
    long = [[CLS, *[9] * 14, SEP]] * 60
    torch.manual_seed(1)
    method.objective(batch(long))
    masks = {tuple(row) for row in seen[0][1].tolist()}
    expected = {tuple((counted(padded(long))[0] & pattern).tolist()) for pattern in method.patterns}
    assert masks == expected and len(masks) == 3


def test_patterns_are_fixed_kept_and_of_the_share_asked_for(tmp_path):
    method = date(num_patterns=400, max_length=50, mask_share=0.3)
    assert method.patterns.shape == (400, 50)
    assert method.patterns.double().mean().item() == pytest.approx(0.3, abs=0.012)  # 3.7 standard errors
    assert "patterns" in method.state_dict()
    before = method.patterns.clone()
    method.objective(batch()).backward()
    assert torch.equal(method.patterns, before)


def test_a_line_that_its_pattern_leaves_whole_has_its_first_token_masked(monkeypatch: pytest.MonkeyPatch):
    method = date(num_patterns=2)
    method.patterns.zero_()
    seen = corruptions(method, monkeypatch)
    method.objective(batch())
    expected = torch.zeros_like(seen[0][1])
    expected[:, 1] = True
    assert torch.equal(seen[0][1], expected)


def test_random_tokens_are_words_never_special(monkeypatch: pytest.MonkeyPatch):
    method = date(vocab_size=8, num_patterns=2)
    method.patterns.fill_(True)
    seen = corruptions(method, monkeypatch)
    torch.manual_seed(1)
    method.objective(batch([[CLS, 5, 6, 7, SEP]] * 200))
    ((tokens, masked, _, corrupted, _),) = seen
    assert set(corrupted[masked].tolist()) == set(range(MASK + 1, 8))
    assert torch.equal(corrupted[~masked], tokens[~masked])


def test_a_learned_generator_gets_no_gradient_from_the_discriminator():
    method = date(**LEARNED)
    gradients = []
    for weight in (0.0, 1000.0):
        method.pattern_weight = method.discriminator_weight = weight
        method.zero_grad()
        torch.manual_seed(1)
        method.objective(batch()).backward()
        gradients.append([value.grad.clone() for value in method.generator.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*gradients, strict=True))
    assert any(value.abs().sum() > 0 for value in gradients[0])


def test_a_random_generator_has_no_weights():
    assert date().generator is None
    assert not any(name.startswith("generator") for name in date().state_dict())


def test_the_score_is_the_mean_probability_of_replaced():
    method, lines = date().eval(), batch()
    probability, own = method.doubts(lines.tokens).sigmoid(), counted(lines.tokens)
    expected = [probability[i][own[i]].mean().item() for i in range(len(LINES))]
    assert method.line_scores(lines).tolist() == pytest.approx(expected, rel=1e-12)


def test_labelled_lines_are_not_trained_on():
    method = date()
    losses = []
    lines = batch(num_labelled=1)
    for given in (lines, LineBatch(*(part[:3] for part in lines))):
        torch.manual_seed(1)
        losses.append(method.objective(given))
    assert torch.equal(*losses)
