"""Losses by which a text encoder forgets a prompt also under attack, as pure functions.

Zhang et al., "Defensive Unlearning with Adversarial Training for Robust Concept Erasure in Diffusion Models", NeurIPS
2024 (AdvUnlearn). Equation numbers are those of this module; e(x_t, T([d, c])) is what the U-Net says when it is told
prompt c behind k input embeddings d, e_0 the same of the untouched model, - the empty prompt:

    (1)  the attack lowers |e(x_t, T([d, c])) - e_0(x_t, c)|^2 by d
    (2)  its fast form is one step from a random d: d - rate sign(gradient)
    (3)  the text encoder T lowers |e(x_t, T([d, c])) - (e_0(x_t, -) - eta (e_0(x_t, c) - e_0(x_t, -)))|^2
                                   + w |e(z_t, T(r)) - e_0(z_t, r)|^2 for prompts r that are to stay
"""

from torch import Tensor

from lit_unlearn.losses.class_forgetting import guided_away
from lit_unlearn.losses.denoising import squared_error


def recalled(said: Tensor, with_prompt: Tensor) -> Tensor:
    """Equation (1), a mean over values: (B,) how far the attacked model is from what it once said of the prompt.

    Args:
        said: (B, C, H, W) e(x_t, T([d, c])).
        with_prompt: (B, C, H, W) e_0(x_t, c).
    """
    return squared_error(said, with_prompt)


def sign_step(prefix: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """Equation (2): (k, D) the prefix after one step that lowers (1).

    Args:
        prefix, gradient: (k, D).
        rate: length of the step in each value.
    """
    return prefix - rate * gradient.sign()


def erased(said: Tensor, with_prompt: Tensor, without: Tensor, eta: float) -> Tensor:
    """Equation (3), its first line, a mean over values: (B,).

    Args:
        said: (B, C, H, W) e(x_t, T([d, c])).
        with_prompt, without: (B, C, H, W) e_0(x_t, c) and e_0(x_t, -).
        eta: strength of the negative guidance.
    """
    return squared_error(said, guided_away(with_prompt, without, eta))


def kept(said: Tensor, once: Tensor) -> Tensor:
    """Equation (3), its second line without w, a mean over values: (B,).

    Args:
        said, once: (B, C, H, W) e(z_t, T(r)) and e_0(z_t, r).
    """
    return squared_error(said, once)
