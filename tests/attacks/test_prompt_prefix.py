"""The attack on prompts: nothing of the model is changed, other prompts are heard as before, the loss falls."""

import copy

import pytest
import torch

from lit_unlearn.attacks.prompt_prefix import Kind, optimised_prefix
from lit_unlearn.losses.denoising import noised, squared_error
from lit_unlearn.networks.text_to_image import TextToImage, TextTrained, read_text_to_image, with_fixed_prompts
from tests.diffusion_data import SHAPE
from tests.text_to_image_data import PROMPTS, text_to_image_folder

ROW = 3


@pytest.fixture(scope="module")
def read():
    return read_text_to_image(text_to_image_folder(), SHAPE, [*PROMPTS, ""])


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(30, 2, 2, 2, generator=torch.Generator().manual_seed(0))


def loss_of(network: TextToImage, noise, x: torch.Tensor, row: int) -> float:
    generator = torch.Generator().manual_seed(1)
    t = torch.randint(100, (len(x),), generator=generator)
    e = torch.randn(x.shape, generator=generator)
    with torch.no_grad():
        said = network(noised(x, e, noise.alphas_bar()[t]), t, class_labels=torch.full((len(x),), row)).sample
    return squared_error(said, e).mean().item()


@pytest.mark.parametrize("kind", ["tokens", "simplex", "free"])
@pytest.mark.parametrize("text_is_trained", [False, True])
def test_words_before_the_prompt_lower_the_loss_and_leave_the_model(kind: Kind, text_is_trained: bool, read, latents):
    made = TextTrained(copy.deepcopy(read.unet), copy.deepcopy(read.prompts)) if text_is_trained else None
    network = (made or with_fixed_prompts(read)).eval()
    prompts = made.prompts if made is not None else read.prompts
    before = [weight.detach().clone() for weight in network.parameters()]

    def attacked(steps: int) -> TextToImage:
        return optimised_prefix(network, prompts, read.noise, latents, ROW, kind, 2, steps, seed=0, learning_rate=0.1)

    first, found, again = attacked(0), attacked(40), attacked(40)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert torch.equal(found.told, again.told) and not found.told.requires_grad
    assert loss_of(found, read.noise, latents, ROW) < loss_of(first, read.noise, latents, ROW)
    assert torch.equal(found.told[:ROW], network.hear(torch.arange(ROW)))
    assert not torch.equal(found.told[ROW], network.hear(torch.tensor([ROW]))[0])


def test_words_are_those_of_the_vocabulary(read, latents):
    """One word, told as it is: the attacked prompt is among those with each word of the vocabulary before it."""
    network = with_fixed_prompts(read).eval()
    found = optimised_prefix(network, read.prompts, read.noise, latents, ROW, "tokens", 1, 5, seed=0)
    row = torch.tensor([ROW])
    with torch.no_grad():
        typed = torch.cat([read.prompts(row, word[None]) for word in read.prompts.token_embedding.weight])
    assert (typed - found.told[ROW]).abs().amax((1, 2)).min() < 1e-5
