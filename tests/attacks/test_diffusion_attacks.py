"""Attacks on a class-conditional model: nothing of it is changed, what is optimised becomes better at its aim."""

import copy

import pytest
import torch

from lit_unlearn.attacks.class_prompt import onto_simplex, optimised_prompt
from lit_unlearn.attacks.diffusion_relearning import relearned
from lit_unlearn.losses.denoising import noised, squared_error
from lit_unlearn.networks.denoiser import pretrained_unet
from tests.diffusion_data import NUM_CLASSES, SHAPE, Generated, pipeline_folder


@pytest.fixture(scope="module")
def model():
    unet, noise = pretrained_unet(pipeline_folder(True), SHAPE, NUM_CLASSES)
    return unet.eval().requires_grad_(False), noise


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    data = Generated()
    data.setup()
    return data.labelled.x


def loss_of(network, noise, x: torch.Tensor, row: int) -> float:
    generator = torch.Generator().manual_seed(1)
    t = torch.randint(100, (len(x),), generator=generator)
    e = torch.randn(x.shape, generator=generator)
    said = network(noised(x, e, noise.alphas_bar()[t]), t, class_labels=torch.full((len(x),), row)).sample
    return squared_error(said, e).mean().item()


def test_onto_the_simplex_by_hand():
    assert onto_simplex(torch.tensor([0.5, 0.5])).tolist() == [0.5, 0.5]
    assert onto_simplex(torch.tensor([2.0, 0.0])).tolist() == [1.0, 0.0]
    assert onto_simplex(torch.tensor([0.8, 0.6, -1.0])).tolist() == pytest.approx([0.6, 0.4, 0.0])


@pytest.mark.parametrize("kind", ["simplex", "free"])
def test_an_optimised_prompt_lowers_the_loss_and_leaves_the_model(kind, model, pictures):
    unet, noise = model
    before = copy.deepcopy(unet.state_dict())
    attacked = optimised_prompt(unet, noise, pictures, 3, kind, steps=40, seed=0, learning_rate=0.1)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert loss_of(attacked, noise, pictures, 3) < loss_of(unet, noise, pictures, 3)
    assert loss_of(attacked, noise, pictures, 1) == pytest.approx(loss_of(unet, noise, pictures, 1))
    again = optimised_prompt(unet, noise, pictures, 3, kind, steps=40, seed=0, learning_rate=0.1)
    assert torch.equal(again.embedding, attacked.embedding)


def test_relearning_trains_a_copy(model, pictures):
    unet, noise = model
    before = copy.deepcopy(unet.state_dict())
    trained = relearned(unet, noise, pictures[:5], torch.full((5,), 3), steps=30, seed=0, learning_rate=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert loss_of(trained, noise, pictures, 3) < loss_of(unet, noise, pictures, 3)
