"""LogELECTRA: its objective by hand, where its gradients go, and what its score says."""

import pytest
import torch
from torch.nn import functional as F

from datamodules.logs.batches import CLS, MASK, PAD, SEP, LineBatch, counted, padded
from datamodules.logs.tokenizer import encode
from lit_unlearn.methods.logs.log_electra import LogElectra
from tests.anomaly_data import trainer
from tests.logs_data import small_log

LINES = [[CLS, 9, 8, 7, 6, SEP], [CLS, 9, 10, SEP], [CLS, 11, SEP], [CLS, 9, 8, 12, SEP]]


def batch(lines: list[list[int]] = LINES, num_labelled: int = 0) -> LineBatch:
    labelled = torch.arange(len(lines)) >= len(lines) - num_labelled
    return LineBatch(padded(lines), labelled, torch.ones(len(lines), dtype=torch.int64), [""] * len(lines))


def small(**changed) -> LogElectra:
    torch.manual_seed(0)
    sizes = {"hidden": 16, "layers": 1, "generator_hidden": 8, "generator_layers": 1, "dropout": 0.0}
    return LogElectra(**{"vocab_size": 30, "max_length": 16} | sizes | changed).double()


class Recorded:
    """Stands in for a network: remembers what it is given, then gives what the network does."""

    def __init__(self, network):
        self.network, self.given = network, []

    def __call__(self, *given):
        self.given.append(given)
        return self.network(*given)


def observed(method: LogElectra, lines: LineBatch, monkeypatch: pytest.MonkeyPatch):
    """The objective, and what generator and discriminator were given for it."""
    networks = Recorded(method.generator.forward), Recorded(method.discriminator.forward)
    monkeypatch.setattr(method.generator, "forward", networks[0])
    monkeypatch.setattr(method.discriminator, "forward", networks[1])
    loss = method.objective(lines)
    assert len(networks[0].given) == len(networks[1].given) == 1
    return loss, networks[0].given[0], networks[1].given[0]


@pytest.mark.parametrize("greedy", [True, False])
def test_the_objective_is_equation_4_of_what_the_networks_were_given(greedy: bool, monkeypatch: pytest.MonkeyPatch):
    method, lines = small(greedy=greedy, mask_share=0.5, discriminator_weight=7.0), batch()
    torch.manual_seed(1)
    loss, (seen, attended, masked), (corrupted, attended_too) = observed(method, lines, monkeypatch)
    tokens = lines.tokens
    assert torch.equal(attended, tokens != PAD) and torch.equal(attended_too, attended)
    assert torch.equal(seen, tokens.masked_fill(masked, MASK))
    assert masked.any(1).all() and not (masked & ~counted(tokens)).any()
    assert torch.equal(corrupted[~masked], tokens[~masked])
    guesses = method.generator.forward(seen, attended, masked)[0]
    if greedy:
        assert torch.equal(corrupted[masked], guesses.argmax(1))
    doubts = method.discriminator.forward(corrupted, attended)[0]
    # Equations (1) and (3), token by token.
    generator_loss = -sum(guesses.log_softmax(1)[i, token] for i, token in enumerate(tokens[masked])) / masked.sum()
    terms = []
    for b, t in counted(tokens).nonzero().tolist():
        probability = doubts[b, t].sigmoid()
        terms.append(-(probability if corrupted[b, t] != tokens[b, t] else 1 - probability).log())
    expected = generator_loss + 7.0 * sum(terms) / len(terms)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_a_token_that_the_generator_gets_right_is_original(monkeypatch: pytest.MonkeyPatch):
    method, lines = small(discriminator_weight=1.0), batch()
    monkeypatch.setattr("lit_unlearn.methods.logs.log_electra.fill", lambda guesses, greedy: right)
    torch.manual_seed(1)
    right = lines.tokens[0, :0]
    masks = []
    generator = method.generator.forward

    def forward(seen, attended, masked):
        nonlocal right
        masks.append(masked)
        right = lines.tokens[masked]
        return generator(seen, attended, masked)

    monkeypatch.setattr(method.generator, "forward", forward)
    loss = method.objective(lines)
    guesses, _ = generator(lines.tokens.masked_fill(masks[0], MASK), lines.tokens != PAD, masks[0])
    all_original = F.softplus(method.doubts(lines.tokens))[counted(lines.tokens)].mean()
    torch.testing.assert_close(loss, F.cross_entropy(guesses, right) + all_original, rtol=1e-12, atol=0)


def test_the_discriminators_loss_gives_the_generator_exactly_no_gradient():
    """What the generator gets is that of its own loss, to the bit."""
    method = small(discriminator_weight=0.0)
    gradients = []
    for weight in (0.0, 1000.0):
        method.discriminator_weight = weight
        method.zero_grad()
        torch.manual_seed(1)
        method.objective(batch()).backward()
        gradients.append({name: value.grad.clone() for name, value in method.generator.named_parameters()})
        reaches = [value.grad.abs().sum().item() > 0 for value in method.discriminator.parameters()]
        assert any(reaches) == (weight > 0)
    assert any(value.abs().sum() > 0 for value in gradients[0].values())
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_the_score_is_the_mean_softplus_over_counted_tokens_exactly():
    method = small().float().eval()
    lines = batch()
    logits, own = method.discriminator(lines.tokens, lines.tokens != PAD)[0], counted(lines.tokens)
    expected = (F.softplus(logits) * own).sum(1) / own.sum(1)
    assert torch.equal(method.line_scores(lines), expected)
    assert torch.equal(method(lines.tokens), expected)
    by_line = [F.softplus(logits[i][own[i]]).mean() for i in range(4)]
    torch.testing.assert_close(method.line_scores(lines), torch.stack(by_line), rtol=1e-6, atol=0)


def test_labelled_lines_are_not_trained_on():
    method, lines = small(), batch(num_labelled=1)
    torch.manual_seed(1)
    with_them = method.objective(lines)
    torch.manual_seed(1)
    tokens = lines.tokens[:3]
    without = method.objective(batch(LINES[:3])._replace(tokens=tokens))
    assert torch.equal(with_them, without)


def test_the_scores_need_no_generator():
    method, lines = small().eval(), batch()
    before = method.line_scores(lines)
    del method.generator
    assert torch.equal(method.line_scores(lines), before)


def test_it_learns_to_doubt_what_does_not_belong():
    """Lines of one grammar, and the same with a word of another place in it."""
    data = small_log(num_lines=4000, lines_per_epoch=800, batch_size=32, num_labelled=0)
    method = small(
        vocab_size=data.vocab_size, max_length=48, hidden=32, generator_hidden=32, learning_rate=5e-3
    ).float()
    trainer(max_epochs=8).fit(method, datamodule=data)
    method.eval()
    with torch.no_grad():
        texts = sorted({data.texts[i] for i in data.line[data.test] if len(data.texts[i].split()) > 5})[:60]
        normal = encode(data.tokenizer, texts)
        odd = [[*line[:3], *line[-4:-1], *line[6:]] if len(line) > 9 else line for line in normal]
        pairs = [(a, b) for a, b in zip(normal, odd, strict=True) if a != b]
        first, second = (method.line_scores(batch(list(part))) for part in zip(*pairs, strict=True))
    assert (second > first).float().mean() > 0.8
