"""The two Transformers: as transformers' own heads, nothing computed that is not asked for, padding ignored."""

import pytest
import torch
from torch import nn

from lit_unlearn.networks.electra import TokenDiscriminator, TokenGenerator, electra_config

TOKENS = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 3, 0, 0]])
ATTENDED = TOKENS != 0


def config(**changed):
    return electra_config(**{"vocab_size": 30, "max_length": 12, "hidden": 16, "layers": 2} | changed)


@pytest.mark.parametrize(("hidden", "heads"), [(16, 1), (64, 1), (128, 2), (512, 8)])
def test_sizes_follow_the_width(hidden: int, heads: int):
    made = config(hidden=hidden)
    assert (made.hidden_size, made.embedding_size, made.intermediate_size) == (hidden, hidden, 4 * hidden)
    assert made.num_attention_heads == heads
    assert (made.vocab_size, made.max_position_embeddings, made.num_hidden_layers, made.pad_token_id) == (30, 12, 2, 0)
    assert config(heads=4).num_attention_heads == 4
    assert config(dropout=0.3).hidden_dropout_prob == config(dropout=0.3).attention_probs_dropout_prob == 0.3


def test_the_generator_predicts_where_it_is_asked_as_transformers_does_everywhere():
    torch.manual_seed(0)
    generator = TokenGenerator(config()).eval()
    asked = torch.tensor([[False, True, False, True, False], [False, True, False, False, False]])
    logits, first = generator(TOKENS, ATTENDED, asked)
    whole = generator.model(TOKENS, attention_mask=ATTENDED, output_hidden_states=True)
    torch.testing.assert_close(logits, whole.logits[asked])
    torch.testing.assert_close(first, whole.hidden_states[-1][:, 0])
    assert logits.shape == (3, 30) and first.shape == (2, 16)


def test_the_discriminator_is_that_of_transformers():
    torch.manual_seed(0)
    discriminator = TokenDiscriminator(config()).eval()
    logits, patterns = discriminator(TOKENS, ATTENDED)
    torch.testing.assert_close(logits, discriminator.model(TOKENS, attention_mask=ATTENDED).logits)
    assert logits.shape == (2, 5) and patterns is None


def test_the_second_head_reads_the_first_token():
    torch.manual_seed(0)
    discriminator = TokenDiscriminator(config(), num_patterns=4).eval()
    logits, patterns = discriminator(TOKENS, ATTENDED)
    assert patterns.shape == (2, 4)
    hidden = discriminator.model.electra(TOKENS, attention_mask=ATTENDED)[0]
    torch.testing.assert_close(patterns, discriminator.patterns(hidden[:, 0]))
    assert isinstance(discriminator.patterns, nn.Sequential) and len(discriminator.patterns) == 3
    torch.testing.assert_close(logits, discriminator.model(TOKENS, attention_mask=ATTENDED).logits)


@pytest.mark.parametrize("extra", [1, 7])
def test_padding_changes_nothing(extra: int):
    torch.manual_seed(0)
    generator, discriminator = TokenGenerator(config()).eval(), TokenDiscriminator(config(), 3).eval()
    longer = nn.functional.pad(TOKENS, (0, extra))
    asked = TOKENS == 8
    for one, other in zip(
        (*discriminator(TOKENS, ATTENDED), *generator(TOKENS, ATTENDED, asked)),
        (*discriminator(longer, longer != 0), *generator(longer, longer != 0, longer == 8)),
        strict=True,
    ):
        same_tokens = other[:, :5] if other.shape[1] == 5 + extra else other
        torch.testing.assert_close(
            same_tokens[ATTENDED] if one.shape == (2, 5) else same_tokens,
            one[ATTENDED] if one.shape == (2, 5) else one,
            rtol=0,
            atol=1e-6,
        )


def test_they_share_no_weight():
    generator, discriminator = TokenGenerator(config()), TokenDiscriminator(config())
    pointers = [{value.data_ptr() for value in network.parameters()} for network in (generator, discriminator)]
    assert not pointers[0] & pointers[1]


def test_every_weight_takes_part():
    """DDP waits for the gradient of each."""
    generator, discriminator = TokenGenerator(config()), TokenDiscriminator(config(), 3)
    logits, _ = generator(TOKENS, ATTENDED, TOKENS == 8)
    doubts, patterns = discriminator(TOKENS, ATTENDED)
    (logits.square().sum() + doubts.square().sum() + patterns.square().sum()).backward()
    for network in (generator, discriminator):
        for name, value in network.named_parameters():
            assert value.grad is not None, name
