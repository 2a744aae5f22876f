"""Signs that attacks fail because gradients are masked, not because the network is robust.

Athalye et al., "Obfuscated Gradients Give a False Sense of Security", arXiv 1802.00420; Carlini et al., "On Evaluating
Adversarial Robustness", arXiv 1902.06705.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lit_unlearn.attacks.ball import Ball
from lit_unlearn.attacks.gradient import pgd_on_standing

BLACK_BOX_SHARE = 0.002
"""Of all pictures, from the check of the AutoAttack authors; a single picture is never taken for a sign."""


def black_box_wins(broken: Mapping[str, int], num: int) -> str | None:
    """A line if Square, which sees no gradient, broke pictures that stood after the attacks that do.

    Args:
        broken: pictures by attack, see `lit_unlearn.attacks.autoattack.Verdict`; Square came last.
        num: pictures in all.
    """
    won = broken.get("square", 0)
    if won <= max(1, BLACK_BOX_SHARE * num):
        return None
    return (
        f"gradient masking?: Square, which sees no gradient, broke {won} of {num} pictures that had withstood the "
        "attacks that do; the accuracy under attack is likely too high"
    )


def more_steps_do_not_help(one_step: float, many_steps: float) -> str | None:
    """A line if PGD leaves a larger share of the pictures right than FGSM."""
    if many_steps <= one_step:
        return None
    return (
        f"gradient masking?: PGD leaves {many_steps:.1%} right and FGSM, a single step, only {one_step:.1%}; more "
        "steps should not help the network"
    )


def unbounded_attack(model: nn.Module, x: Tensor, y: Tensor, steps: int = 100) -> tuple[float, str | None]:
    """The share that stands when a picture may become any other (it should be 0), and a line if it is not.

    Args:
        model: to (B, K) logits; attacked in eval mode.
        x, y: (B, C, H, W) in [0, 1] and (B,).
        steps: of PGD, each a fortieth of white.
    """
    generator = torch.Generator(x.device).manual_seed(0)
    everything = Ball("linf", 1.0)
    left = pgd_on_standing(model, x, y, everything, step=1 / 40, steps=steps, generator=generator)
    share = left.standing.float().mean().item()
    if share <= 0.01:
        return share, None
    return share, (
        f"gradient masking?: {share:.1%} of the pictures stay right under PGD that may change them at will; its "
        "gradients lead nowhere"
    )
