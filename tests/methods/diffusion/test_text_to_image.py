"""Methods on a text-to-image pipeline: trained, exported, read by diffusers again, and resumed to equal bits."""

import copy
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lit_unlearn import config
from lit_unlearn.errors import UserError
from lit_unlearn.fit import fit
from lit_unlearn.losses.adversarial_prompts import recalled
from lit_unlearn.methods.diffusion.base import Diffusion
from tests.anomaly_data import trainer
from tests.diffusion_data import SHAPE, build_method, small
from tests.program import differences, last
from tests.text_to_image_data import PROMPTS, Prompted, text_to_image_folder

EXPERIMENT = "experiment=pu_diffusion/text_to_image"
LORA = {"lora_rank": 2, "lora_alpha": None, "lora_layers": ["to_q", "to_v"]}


def built(name: str, seed: int = 0, lora: bool = False, **values: Any) -> Any:
    model = {"path": text_to_image_folder(), "unet": None} | (LORA if lora else {})
    return build_method(name, seed, model=model, prompts=PROMPTS, **values)


def trained(name: str, **values: Any) -> Any:
    data = Prompted()
    data.setup()
    method = built(name, **values)
    trainer(max_epochs=1).fit(method, data)
    return method


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "values", "changed"),
    [
        ("pu_diffusion", {}, "unet"),
        ("pu_diffusion", {"lora": True}, "unet"),
        ("unsupervised_diffusion", {"lora": True}, "unet"),
        ("esd", {"trained": "esd-x"}, "unet"),
        ("salun", {"lora": True}, "unet"),
        ("selective_amnesia", {"lora": True}, "unet"),
        ("concept_domain_correction", {"alone": 0.0}, "unet"),
        ("filtered_diffusion", {}, "unet"),
        ("advunlearn", {}, "text_encoder"),
    ],
)
def test_an_export_is_the_pipeline_with_what_was_trained(name: str, values: dict, changed: str, tmp_path: Path):
    """Other parts are byte for byte those of the model before; the pipeline draws with its own call."""
    from diffusers import DiffusionPipeline

    method = trained(name, learning_rate=1e-2, **values).eval()
    method.export(tmp_path, None)
    before, after = files(Path(text_to_image_folder())), files(tmp_path)
    weights = [key for key in after if key.startswith(changed) and key.endswith(".safetensors")]
    assert {key for key in after if after[key] != before.get(key)} <= {*weights, f"{changed}/config.json"}
    assert set(after) == set(before)
    old, new = (load_file(Path(of) / weights[0]) for of in (text_to_image_folder(), tmp_path))
    assert {key: value.shape for key, value in new.items()} == {key: value.shape for key, value in old.items()}
    assert any(not torch.equal(new[key], old[key]) for key in new)

    pipeline: Any = DiffusionPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    x, t = torch.randn(2, 2, 2, 2), torch.tensor(40)
    told, _ = pipeline.encode_prompt([PROMPTS[3], ""], "cpu", 1, do_classifier_free_guidance=False)
    with torch.no_grad():
        said = pipeline.unet(x, t, encoder_hidden_states=told).sample
        torch.testing.assert_close(said, method.predict(x, t, torch.tensor([3, 4])), atol=1e-5, rtol=1e-5)
    drawn = pipeline(["a photo of d"], num_inference_steps=2, height=8, width=8, output_type="np").images
    assert drawn.shape[:3] == (1, 8, 8)


def test_additions_alone_are_trained():
    method, before = trained("pu_diffusion", lora=True, learning_rate=1e-2), built("pu_diffusion", lora=True)
    old = dict(before.network.named_parameters())
    moved = {name for name, weight in method.network.named_parameters() if not torch.equal(weight, old[name])}
    assert moved and all(".lora_" in name for name in moved)


def test_a_subset_alone_is_trained():
    method, before = trained("esd", trained="esd-x-strict", learning_rate=1e-2), built("esd")
    old = dict(before.network.named_parameters())
    moved = {name for name, weight in method.network.named_parameters() if not torch.equal(weight, old[name])}
    assert moved and all(".attn2.to_k." in name or ".attn2.to_v." in name for name in moved)


def test_batches_hold_latents_and_samples_are_pictures():
    data = Prompted()
    data.setup()
    method = built("pu_diffusion")
    assert method.input_shape == [2, 2, 2]
    trainer(max_epochs=1, limit_train_batches=1).fit(method, data)
    batch = next(iter(data.train_dataloader()))
    assert batch.unlabeled.shape[1:] == batch.labelled.shape[1:] == (2, 2, 2)
    assert data.unlabeled.x.shape[1:] == tuple(SHAPE)
    torch.testing.assert_close(data.pools[1].x, method.encode(data.labelled.x))
    drawn = method.sample(torch.randn(3, 2, 2, 2), torch.tensor([0, 3, 4]))
    assert drawn.shape == (3, *SHAPE) and drawn.abs().max() <= 1


def test_the_attack_finds_a_prefix_under_which_more_is_recalled():
    method = built("advunlearn", prefix=3, attack_steps=60, attack_rate=0.05)
    method._untouched = [copy.deepcopy(method.network)]
    with torch.no_grad():
        for weight in method.network.prompts.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    x, t, classes = torch.randn(4, 2, 2, 2), torch.tensor(50), torch.full((4,), 3)
    told = method.once(x, t, classes)

    def loss(prefix: torch.Tensor) -> float:
        return recalled(method.says(x, t, classes, prefix), told).mean().item()

    torch.manual_seed(1)
    found = method.attacking(x, t, classes, told)
    method.attack_steps = 1
    torch.manual_seed(1)
    first = method.attacking(x, t, classes, told)
    assert found.shape == (3, 8) and not found.requires_grad
    assert loss(found) < loss(first)
    method.attack, method.attack_rate = "fast", 1e-2
    torch.manual_seed(1)
    start = torch.randn(3, 8) * method.network.prompts.token_embedding.weight.std()
    torch.manual_seed(1)
    assert loss(method.attacking(x, t, classes, told)) < loss(start)


def test_without_attack_at_first_it_is_esd_with_a_term_for_what_stays(monkeypatch: pytest.MonkeyPatch):
    method = built("advunlearn", unattacked=0.5, retain_weight=0.0)
    data, seen = Prompted(), []
    data.setup()
    monkeypatch.setattr(method, "attacking", lambda *given: seen.append(method.global_step))
    trainer(max_epochs=2).fit(method, data)
    assert seen == [3, 4, 5]  # of 6 steps


def test_other_prompts_than_those_of_the_classes_can_be_retained():
    method = built("advunlearn", retained_prompts=["of a", "of b"])
    assert method.stay == [5, 6] and method.told_prompts == [*PROMPTS, "", "of a", "of b"]
    assert len(method.network.prompts.ids) == 7 and method.none(1).tolist() == [4]
    assert built("advunlearn").stay == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("advunlearn", {"lora": True}, "model.lora_rank=2: method=advunlearn trains the text encoder alone"),
        ("esd", {"trained": "class_embedding"}, "method.trained=class_embedding: matches none of the weights"),
    ],
)
def test_what_does_not_go_together(name: str, values: dict, message: str):
    with pytest.raises(UserError, match=message):
        built(name, **values)


@pytest.mark.parametrize(
    "chosen", [["model.lora_rank=2", "method.class_dropout=0.3"], ["method=advunlearn", "method.unattacked=0"]]
)
def test_stopped_it_goes_on_to_equal_bits(chosen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    line = [EXPERIMENT, *chosen, *small(config.compose([EXPERIMENT, *chosen])), "trainer.max_epochs=3"]
    line += ["trainer.limit_train_batches=3", "evaluate=false", "callbacks.samples=null"]
    line += ["callbacks.average={_target_: lit_unlearn.networks.ema.MovingAverage, decay: 0.9}"]
    monkeypatch.chdir(tmp_path)
    fit([*line, "run_dir=whole"])
    step = Diffusion.training_step

    def stopped(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Diffusion, "training_step", stopped)
        fit([*line, "run_dir=stopped"])
    assert last(Path("stopped"))["global_step"] == 5 and not last(Path("stopped"))["lit_unlearn"]["finished"]
    fit([*line, "run_dir=stopped"])
    assert (
        differences(last(Path("whole")), last(Path("stopped")), ignored=("fit_seconds", "current_score", "run_dir"))
        == []
    )
    kept = [name for name in last(Path("whole"))["state_dict"] if name.startswith(("network.", "average."))]
    assert kept and all(".lora_" in name or ".text_encoder." in name for name in kept)
