"""One-step generators: U-Nets that draw a picture from noise in a single call, and how they are kept apart from others.

A network says so in its configuration, which its copies, attacked forms and exports carry along; diffusers passes over
private keys. What is drawn is x_0 of (5) in `lit_unlearn.losses.denoising`, with the start in the place of x_t.
"""

from pathlib import Path
from typing import Any

from lit_unlearn.networks.denoiser import ONE_STEP, Noise


def mark(unet: Any, t: int) -> None:
    """Makes a U-Net known as a generator that draws at timestep t."""
    unet.register_to_config(**{ONE_STEP: t})


def drawn_at(unet: Any) -> int | None:
    """The timestep at which a network draws in one step; None for one that draws in many."""
    return unet.config.get(ONE_STEP)


def save_one_step_pipeline(folder: Path, unet: Any, noise: Noise) -> None:
    """Writes a folder that `diffusers.DiffusionPipeline.from_pretrained` loads.

    Its own call, `pipeline(batch_size=2, class_labels=[0, 1])`, draws in one step, which is its default: the scheduler
    has no timesteps beyond the generator's, so that one step begins there. Pictures that are not square have only the
    folder's parts: diffusers has no class-conditional pipeline for them.
    """
    import diffusers

    t = drawn_at(unet)
    assert t is not None
    size = unet.config.sample_size
    if not isinstance(size, int) and len(set(size)) == 1:
        unet.register_to_config(sample_size=size[0])  # what that pipeline's call takes
    scheduler = diffusers.DDIMScheduler(
        num_train_timesteps=t + 1,
        trained_betas=noise.scheduler("ddpm").betas[: t + 1].tolist(),
        prediction_type=noise.prediction,
        timestep_spacing="trailing",
    )
    pipeline: Any = diffusers.ConsistencyModelPipeline(unet=unet, scheduler=scheduler)  # type: ignore[arg-type]
    pipeline.save_pretrained(folder)
