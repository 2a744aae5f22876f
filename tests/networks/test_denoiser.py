"""U-Nets and pipeline folders: what is written is what diffusers loads, what does not fit is named."""

import json
from pathlib import Path

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.networks.denoiser import new_unet, pretrained_unet, save_pipeline
from tests.diffusion_data import NUM_CLASSES, SHAPE, TINY


def test_a_saved_pipeline_is_read_again_and_by_diffusers(tmp_path: Path):
    from diffusers import DiffusionPipeline

    sizes = {**TINY, "conditional": True, "prediction": "v_prediction", "schedule": "squaredcos_cap_v2"}
    unet, noise = new_unet(sizes, SHAPE, NUM_CLASSES)
    save_pipeline(tmp_path, unet, noise)
    again, its_noise = pretrained_unet(str(tmp_path), SHAPE, NUM_CLASSES)
    assert its_noise.prediction == "v_prediction" and its_noise.num_timesteps == 100
    torch.testing.assert_close(its_noise.alphas_bar(), noise.alphas_bar())
    assert again.training and all(weight.requires_grad for weight in again.parameters())
    loaded = DiffusionPipeline.from_pretrained(tmp_path)
    x, t, y = torch.randn(2, *SHAPE), torch.tensor(7), torch.tensor([0, NUM_CLASSES])
    said = [network(x, t, class_labels=y).sample for network in (unet, again, loaded.unet)]
    assert torch.equal(said[0], said[1]) and torch.equal(said[0], said[2])


def test_an_unconditional_pipeline_draws_by_its_own_call(tmp_path: Path):
    from diffusers import DiffusionPipeline

    save_pipeline(tmp_path, *new_unet(TINY, SHAPE, NUM_CLASSES))
    pipeline = DiffusionPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
    assert drawn.shape == (2, 4, 4, 1) and drawn.min() >= 0 and drawn.max() <= 1


def test_levels_and_groups_that_do_not_fit():
    with pytest.raises(UserError, match=r"channels=\[8, 8, 8, 8\]: 4 levels halve the sides 3 times.*4x4 pixels"):
        new_unet({**TINY, "channels": [8, 8, 8, 8]}, SHAPE, NUM_CLASSES)
    with pytest.raises(UserError, match=r"groups=3: does not divide all of model.unet.channels=\[8, 8\]"):
        new_unet({**TINY, "groups": 3}, SHAPE, NUM_CLASSES)


def folder(tmp_path: Path, index: dict | None = None) -> str:
    save_pipeline(tmp_path, *new_unet({**TINY, "conditional": True}, SHAPE, NUM_CLASSES))
    if index is not None:
        (tmp_path / "model_index.json").write_text(json.dumps(index))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            {"_class_name": "X", "vae": ["diffusers", "AutoencoderKL"]},
            "a pipeline without a unet and a scheduler; it has vae",
        ),
        ({"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": []}, "its unet is a UNet2DConditionModel"),
    ],
)
def test_a_pipeline_of_another_kind(index: dict, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        pretrained_unet(folder(tmp_path, index), SHAPE, NUM_CLASSES)


def test_a_folder_that_is_none_and_one_that_is_damaged(tmp_path: Path):
    with pytest.raises(UserError, match=r"model.path=nowhere: no pipeline of diffusers, it has no model_index.json"):
        pretrained_unet("nowhere", SHAPE, NUM_CLASSES)
    path = Path(folder(tmp_path))
    (path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(UserError, match="its unet cannot be read"):
        pretrained_unet(str(path), SHAPE, NUM_CLASSES)


def test_a_pipeline_for_other_pictures_or_classes(tmp_path: Path):
    path = folder(tmp_path)
    with pytest.raises(UserError, match=r"made for pictures \[1, 4, 4\], those of the data are \[3, 4, 4\]"):
        pretrained_unet(path, [3, 4, 4], NUM_CLASSES)
    with pytest.raises(UserError, match=r"made for 4 classes \(and none\), the data have 10"):
        pretrained_unet(path, SHAPE, 10)
