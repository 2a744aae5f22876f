"""GradDiff: gradient ascent on what is to be forgotten, descent on what is to stay.

Liu, Liu and Stone, "Continual Learning and Private Unlearning", CoLLAs 2022, arXiv 2203.12817; as a baseline for
language models in Maini et al., "TOFU", 2024, arXiv 2401.06121.

Idea: the retained answers' next-token loss holds the model together while ascent takes it apart. With `kl` in its place
(method.retain={nll:0,kl:1}) it is TOFU's "KL minimisation".

Equations implemented: (1) of `lit_unlearn.losses.forgetting` and (1) of `lit_unlearn.losses.retaining`, with equal
weights.

Deviations: TOFU takes the losses of whole sequences; here those of answers.

Command: python -m lit_unlearn.fit experiment=sae_unlearning/biographies method=grad_diff
Expect: docs/llm.md.
"""

from lit_unlearn.methods.llm.gradient_ascent import GradientAscent


class GradDiff(GradientAscent):
    """Gradient ascent with a retain term, `retain` in experiments/method/grad_diff.yaml."""
