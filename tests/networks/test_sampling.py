"""Sampling against a model whose answer is known: pictures of one normal distribution."""

import math

import pytest
import torch
from torch import Tensor

from lit_unlearn.networks.denoiser import Noise
from lit_unlearn.networks.sampling import draw, drawn_until

CENTRE, SPREAD = 0.1, 0.25


def noise(prediction: str) -> Noise:
    return Noise(
        {
            "num_train_timesteps": 1000,
            "beta_schedule": "linear",
            "beta_start": 1e-4,
            "beta_end": 0.02,
            "prediction_type": prediction,
        }
    )


def perfect(kind: Noise):
    """What the best network says where pictures' values are independent and normal."""
    alphas = kind.alphas_bar().double()

    def predict(x: Tensor, t: Tensor) -> Tensor:
        a = alphas[int(t)]
        gain = a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a)
        clean = CENTRE + gain * (x - a.sqrt() * CENTRE)
        return clean if kind.prediction == "sample" else (x - a.sqrt() * clean) / (1 - a).sqrt()

    return predict


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 100), ("dpm_solver", 60), ("ddpm", 1000)])
def test_the_samplers_draw_the_distribution(sampler, steps, prediction):
    start = torch.randn(400, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    kind = noise(prediction)
    x = draw(perfect(kind), start, kind, sampler, steps)
    assert x.mean().item() == pytest.approx(CENTRE, abs=0.02)
    assert x.std().item() == pytest.approx(SPREAD, rel=0.1)
    assert torch.equal(x, draw(perfect(kind), start, kind, sampler, steps))  # a function of the start


def test_ddim_goes_on_with_the_noise_that_belongs_to_the_clipped_picture():
    """A network that says "all is noise" has its picture clipped to 0: the noise is then x / sqrt(1 - a), and the
    next x is that noise at the next level. Without the flag, diffusers keeps the network's epsilon."""
    kind = noise("epsilon")

    def too_far(x: Tensor, t: Tensor) -> Tensor:
        return x * 0 - 50.0  # the picture behind it is far outside [-1, 1]

    start = torch.zeros(1, 1, 2, 2)
    (x, t), a = drawn_until(too_far, start, kind, steps=10, stop_at=1), kind.alphas_bar()
    before, after = a[999], a[int(t)]
    expected = after.sqrt() * 1 + (1 - after).sqrt() * (0 - before.sqrt() * 1) / (1 - before).sqrt()
    torch.testing.assert_close(x, expected.expand_as(x), atol=1e-5, rtol=0)


def test_stopping_on_the_way():
    kind = noise("sample")
    start = torch.randn(50, 1, 4, 4).double()
    x, t = drawn_until(perfect(kind), start, kind, steps=10, stop_at=5)
    a = kind.alphas_bar()[int(t)].item()
    assert t == 499
    assert x.std().item() == pytest.approx(math.sqrt(a * SPREAD**2 + 1 - a), rel=0.15)
    whole, _ = drawn_until(perfect(kind), start, kind, steps=10, stop_at=0)
    assert torch.equal(whole, start)
