"""Text-to-image pipelines as networks: prompts, latents, what is trained and what is kept, against diffusers itself."""

import copy
from typing import Any

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.networks.prompts import with_room
from lit_unlearn.networks.sampling import draw
from lit_unlearn.networks.text_to_image import Pipeline, TextTrained, read_text_to_image, with_fixed_prompts
from lit_unlearn.networks.trained_parts import merge_lora
from lit_unlearn.networks.unet_parts import ATTENTION_LAYERS, Part, add_lora, belongs, train_part
from tests.diffusion_data import SHAPE
from tests.text_to_image_data import LENGTH, PROMPTS, text_to_image_folder

ALL = [*PROMPTS, ""]


def read() -> Pipeline:
    return read_text_to_image(text_to_image_folder(), SHAPE, ALL)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(text_to_image_folder())


def test_prompts_are_encoded_as_the_pipeline_does(pipeline: Any):
    network = with_fixed_prompts(read())
    wanted, empty = pipeline.encode_prompt(PROMPTS, "cpu", 1, do_classifier_free_guidance=True)
    torch.testing.assert_close(network.told, torch.cat([wanted, empty[:1]]))
    heard = TextTrained(read().unet, read().prompts).hear(torch.tensor([2, 4, 2]))
    torch.testing.assert_close(heard, network.told[[2, 4, 2]])


def test_what_the_network_says_is_what_the_unet_says(pipeline: Any):
    network, x, t = with_fixed_prompts(read()).eval(), torch.randn(2, 2, 2, 2), torch.tensor([3, 70])
    told, _ = pipeline.encode_prompt([PROMPTS[3], ""], "cpu", 1, do_classifier_free_guidance=False)
    wanted = pipeline.unet(x, t, encoder_hidden_states=told).sample
    torch.testing.assert_close(network(x, t, class_labels=torch.tensor([3, 4])).sample, wanted)


def test_latents_are_the_autoencoders_and_decode_to_what_the_pipeline_shows(pipeline: Any):
    found, x = read().autoencoder, torch.rand(11, *SHAPE) * 2 - 1
    z = found.encode(x, torch.device("cpu"))
    scale = pipeline.vae.config.scaling_factor
    assert z.shape == (11, 2, 2, 2) and found.latent_shape(SHAPE) == [2, 2, 2]
    torch.testing.assert_close(z, pipeline.vae.encode(x).latent_dist.mean * scale)
    assert torch.equal(z, found.encode(x, torch.device("cpu")))
    torch.testing.assert_close(found.decode(z), pipeline.vae.decode(z / scale).sample.detach())


def test_latents_are_not_clipped_in_drawing():
    noise, start = read().noise, 5 * torch.randn(3, 2, 2, 2)
    far = torch.full_like(start, 3.0)

    def says(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The noise behind which `far` lies."""
        a = noise.alphas_bar()[t]
        return (x - a.sqrt() * far) / (1 - a).sqrt()

    for sampler in ("ddim", "ddpm", "dpm_solver"):
        assert draw(says, start, noise, sampler, 10).mean() > 2, sampler


def test_a_prefix_goes_between_the_beginning_and_the_prompt():
    ids = torch.tensor([[0, 5, 6, 9, 9, 9], [0, 1, 2, 3, 4, 9]])
    assert with_room(ids, 2, end=9).tolist() == [[0, 0, 0, 5, 6, 9], [0, 0, 0, 1, 2, 9]]
    assert with_room(ids, 0, end=9).tolist() == ids.tolist()


def test_a_prefix_of_words_is_the_prompt_with_these_words(pipeline: Any):
    prompts = read_text_to_image(text_to_image_folder(), SHAPE, ["b of c", "of c"]).prompts
    word = pipeline.tokenizer("b", add_special_tokens=False).input_ids
    behind = prompts(torch.tensor([1, 1]), prompts.token_embedding.weight[word])
    assert behind.shape == (2, LENGTH, 8)
    torch.testing.assert_close(behind, prompts(torch.tensor([0, 0])))
    torch.testing.assert_close(prompts(torch.tensor([1])), prompts(torch.tensor([1])))  # the hook is gone


@pytest.mark.parametrize(
    ("part", "within", "without"),
    [
        ("esd-x", "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.weight", "conv_in.weight"),
        ("esd-x-strict", "mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight", "x.attn2.to_q.weight"),
        ("esd-u", "mid_block.attentions.0.transformer_blocks.0.attn1.to_v.weight", "x.attn2.to_v.weight"),
        ("all", "conv_in.weight", None),
    ],
)
def test_parts_by_name(part: Part, within: str, without: str | None):
    assert belongs(within, part) and (without is None or not belongs(without, part))
    network = with_fixed_prompts(read())
    train_part(network, part)
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert trained == {name for name, _ in network.named_parameters() if belongs(name, part)} != set()


def test_parts_are_whole_together():
    network = with_fixed_prompts(read())
    names = [name for name, _ in network.named_parameters()]
    assert all(belongs(name, "esd-x") != belongs(name, "esd-u") for name in names)
    strict = [name for name in names if belongs(name, "esd-x-strict")]
    assert strict and len(strict) < sum(belongs(name, "esd-x") for name in names)


def test_a_part_that_matches_nothing_is_an_error():
    with pytest.raises(UserError, match="method.trained=class_embedding: matches none of the weights.*UNet2DCondition"):
        train_part(with_fixed_prompts(read()), "class_embedding")


def test_additions_add_nothing_at_first_and_are_worked_into_plain_weights():
    network, plain = with_fixed_prompts(read()).eval(), with_fixed_prompts(read()).eval()
    add_lora(network.unet, 2, 4.0, ATTENTION_LAYERS, seed=1)
    network.fix_untrained()
    told = (torch.randn(3, 2, 2, 2), torch.tensor(5), torch.tensor([0, 1, 4]))
    assert torch.equal(network(*told).sample, plain(*told).sample)
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert trained and all(".lora_" in name for name in trained)
    assert {name.split(".lora_")[0].rsplit("attn", 1)[1][2:] for name in trained} == set(ATTENTION_LAYERS)
    with torch.no_grad():
        for name in trained:
            network.get_parameter(name).add_(0.3)
    merged, others = merge_lora(network.unet), dict(plain.unet.named_parameters())
    assert {name: weight.shape for name, weight in merged.named_parameters()} == {n: w.shape for n, w in others.items()}
    said, changed = plain(*told).sample, network(*told).sample
    assert (said - changed).abs().max() > 1e-3
    plain.unet = merged
    torch.testing.assert_close(plain(*told).sample, changed, atol=1e-5, rtol=1e-5)


def test_additions_are_a_function_of_the_seed_and_leave_the_noise_of_others():
    drawn = []
    for seed in (1, 1, 2):
        network = with_fixed_prompts(read())
        torch.manual_seed(0)
        add_lora(network.unet, 2, 4.0, ["to_q"], seed)
        drawn.append(([w.detach() for w in network.parameters() if w.requires_grad], torch.rand(1)))
    same, other = ([torch.equal(a, b) for a, b in zip(drawn[0][0], each[0], strict=True)] for each in drawn[1:])
    assert all(same) and not all(other)
    assert drawn[0][1] == drawn[2][1]


@pytest.mark.parametrize("layers", [["to_q", "to_x"], []])
def test_additions_to_layers_that_are_not_there(layers: list[str]):
    with pytest.raises(UserError, match=r"model.lora_layers=\[.*ends in .*usual ones are to_k, to_out.0, to_q, to_v"):
        add_lora(read().unet, 2, 2.0, layers, seed=0)


def test_state_is_what_is_trained_and_goes_into_a_fresh_network():
    def made() -> Any:
        network = with_fixed_prompts(read())
        add_lora(network.unet, 2, 4.0, ["to_q"], seed=1)
        network.fix_untrained()
        return network

    network = made()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * weight.requires_grad)
    state = network.state_dict()
    assert state and all(".lora_" in name for name in state)
    fresh, average = made(), copy.deepcopy(made()).requires_grad_(False)
    for other in (fresh, average):
        other.load_state_dict(state)
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
        assert list(other.state_dict()) == list(state)
    del state[next(iter(state))]
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh.load_state_dict(state)


def test_a_trained_text_encoder_is_all_that_is_kept():
    network = TextTrained(read().unet, read().prompts)
    assert all(name.startswith("prompts.text_encoder.") for name in network.state_dict())
    network(torch.randn(2, 2, 2, 2), torch.tensor(5), torch.tensor([0, 4])).sample.sum().backward()
    assert all(weight.grad is None for weight in network.unet.parameters())
    assert network.prompts.token_embedding.weight.grad.abs().sum() > 0
