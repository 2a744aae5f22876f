"""What holds for every method of the domain: a new one is tested by existing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from lit_unlearn import checkpoint, config, nodes
from lit_unlearn.errors import UserError
from lit_unlearn.methods.robust.base import augmented
from lit_unlearn.methods.robust.distillation import Distillation, Student
from lit_unlearn.networks.classifier_files import load_classifier
from tests.anomaly_data import trainer
from tests.robust_data import CLASSES, METHODS, SHAPE, Patterns, build_method, classifier, classifier_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")
FAST = {"learning_rate": 0.02, "eps": 0.05, "attack_step": 0.02}


def trained(name: str, epochs: int = 2, **values: Any) -> tuple[Distillation, Trainer]:
    method = build_method(name, **FAST | values)
    assert isinstance(method, Distillation)
    fit = trainer(max_epochs=epochs)
    fit.fit(method, datamodule=Patterns())
    return method, fit


def test_all_are_there():
    assert set(METHODS) >= {"natural", "pgd_at", "fast_at", "trades", "mart", "ard", "akd", "iad_1", "iad_2"}
    assert set(METHODS) >= {"rslad", "ardir"}


@pytest.mark.parametrize("name", METHODS)
def test_file_describes_the_method_and_its_arguments(name: str):
    assert ": " in config.choices("method")[name] or name == "natural"
    target = config.method_class(name)
    text = __import__(target.__module__, fromlist=["x"]).__doc__
    assert f"method={name}" in text or f"experiment={name}/" in text
    composed = config.compose(["experiment=ardir/digits", f"method={name}"])["method"]
    assert set(composed) <= {"_target_", *nodes.arguments_of(target)}


@pytest.mark.parametrize("name", METHODS)
def test_weights_move_and_validation_is_told(name: str):
    method, fit = trained(name, weight_decay=0.0)  # decay alone would move weights
    before = build_method(name, **FAST)
    for key, value in method.net.named_parameters():
        assert not torch.equal(value, before.net.get_parameter(key)), f"{key} has not moved"
        assert value.isfinite().all()
    metrics = fit.callback_metrics
    assert 0 <= metrics["val/pgd_accuracy"] <= metrics["val/clean_accuracy"] <= 1
    assert metrics["val/selection"] == metrics["val/clean_accuracy" if name == "natural" else "val/pgd_accuracy"]


@pytest.mark.parametrize("name", [name for name in METHODS if issubclass(config.method_class(name), Student)])
def test_a_teacher_is_no_part_of_its_student(name: str, tmp_path: Path):
    source = load_classifier(str(classifier_folder()), "teacher", None, SHAPE, CLASSES)
    method, fit = trained(name, epochs=1)
    own = {id(weight) for weight in method.parameters()}
    for teacher in method._teachers.values():
        assert not teacher.training and not own & {id(weight) for weight in teacher.parameters()}
        assert all(weight.grad is None and not weight.requires_grad for weight in teacher.parameters())
    for key, value in source.state_dict().items():
        assert torch.equal(method.teacher().state_dict()[key], value)
    optimised = {id(weight) for group in fit.optimizers[0].param_groups for weight in group["params"]}
    assert optimised == own
    assert all(key.startswith("net.body.") for key in method.state_dict())


@pytest.mark.parametrize("name", ["pgd_at", "ardir"])
def test_a_checkpoint_holds_all_of_it_and_teaches(name: str, tmp_path: Path):
    """Also without the teacher: to judge a student its file alone suffices."""
    method, fit = trained(name, average="ema")
    fit.save_checkpoint(tmp_path / "last.ckpt")
    fresh = build_method(name, seed=1, average="ema", teacher="nowhere")
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    fresh.on_load_checkpoint(state)
    fresh.load_state_dict(state["state_dict"])
    x = torch.rand(3, *SHAPE)
    assert torch.equal(fresh.eval()(x), method.eval()(x))
    assert not torch.equal(method.net(x), method(x))  # what is judged is the average
    method.export(tmp_path / "export", None)
    again = load_classifier(str(tmp_path / "export"), "teacher", None, SHAPE, CLASSES)
    assert torch.equal(again(x), method(x))


def test_a_run_s_checkpoint_is_a_teacher(tmp_path: Path):
    """Its averaged weights, where it has some."""
    method, fit = trained("pgd_at", average="swa")
    node = {
        "network": "small_conv",
        **{k: method.net.made_of[k] for k in ("input_shape", "num_classes", "mean", "std")},
    }
    fit.save_checkpoint(tmp_path / "best.ckpt")
    state = torch.load(tmp_path / "best.ckpt", weights_only=True) | {checkpoint.ENTRY: {"config": {"method": node}}}
    torch.save(state, tmp_path / "best.ckpt")
    teacher = load_classifier(str(tmp_path / "best.ckpt"), "method.teacher", None, SHAPE, CLASSES)
    x = torch.rand(3, *SHAPE)
    assert torch.equal(teacher(x), method.judged(x)) and not torch.equal(teacher(x), method.net(x))


def test_published_weights_as_a_start(tmp_path: Path):
    """They take pictures as they are: with the data's normalisation in front they would be another network."""
    torch.save({"state_dict": classifier(seed=7).body.state_dict()}, tmp_path / "robust.pt")
    start = {"pretrained": str(tmp_path / "robust.pt")}
    with pytest.raises(UserError, match=r"takes pictures with mean and std \[0.0, 1.0\], this network \[0.4, 0.3\]"):
        build_method("natural", **start).check(None)
    method = build_method("natural", normalise="none", **start)
    method.check(None)
    x = torch.rand(3, *SHAPE)
    assert torch.equal(method(x), classifier(seed=7).body(x))
    same = build_method("natural", pretrained=str(classifier_folder()))
    same.check(None)
    assert torch.equal(same(x), classifier(seed=1)(x))


def test_averages_begin_where_they_are_told_to():
    method, fit = trained("pgd_at", epochs=4, average="swa", average_from=0.5)
    assert fit.global_step == 12 and int(method.average.taken) == 6  # steps 7 to 12
    never = build_method("pgd_at", average="swa")
    assert never.judged is never.net


def test_a_teacher_of_another_width_is_mapped_to(tmp_path: Path):
    folder = classifier_folder(network="wide_conv")
    layers = ["conv1", "penultimate"]
    method, fit = trained("ardir", epochs=1, teacher=str(folder), layers=layers)
    assert [tuple(p.weight.shape) for p in method.projections] == [(32, 16, 1, 1), (256, 128)]
    optimised = {id(weight) for group in fit.optimizers[0].param_groups for weight in group["params"]}
    assert {id(p.weight) for p in method.projections} <= optimised
    fit.save_checkpoint(tmp_path / "last.ckpt")
    fresh = build_method("ardir", seed=1, teacher="nowhere", layers=layers)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    fresh.on_load_checkpoint(state)
    fresh.load_state_dict(state["state_dict"])


def test_layers_whose_maps_differ_in_size():
    method = build_method("ardir", layers=["conv1"])
    other = classifier(network="wide_conv")
    other.body.conv1 = torch.nn.Conv2d(1, 32, 3)  # without padding
    other.body.hidden = torch.nn.Linear(512, 256)
    with pytest.raises(
        UserError, match=r"method.layers=conv1: the student's is \[16, 8, 8\], the teacher's \[32, 6, 6\]"
    ):
        method.teach_with(teacher=other)


def test_trust_begins_after_its_share_of_the_steps():
    method = build_method("iad_2", trust_from=0.5, **FAST)
    counted: list[bool] = []
    counts = method.trust_counts

    def watch() -> bool:
        counted.append(counts())
        return counted[-1]

    method.trust_counts = watch
    trainer(max_epochs=2).fit(method, datamodule=Patterns())
    assert counted == [False, False, False, True, True, True]


@pytest.mark.parametrize("schedule", ["cosine", "steps"])
def test_schedules(schedule: str):
    method = build_method("natural", schedule=schedule, learning_rate=0.1, warm_up=0.5, milestones=[0.4, 0.8])
    rates = []
    step = method.objective
    method.objective = lambda batch: rates.append(method.optimizers().param_groups[0]["lr"]) or step(batch)
    trainer(max_epochs=2).fit(method, datamodule=Patterns())
    expected = {"steps": [0.1, 0.1, 0.1, 0.01, 0.01, 0.001], "cosine": [0.0333, 0.0667, 0.075, 0.05, 0.025, 0.0067]}
    assert rates == pytest.approx(expected[schedule], abs=1e-4)


def test_adversarial_training_makes_robust():
    """On four noisy patterns, with an attack that natural training does not withstand."""
    values = {"eps": 0.15, "attack_step": 0.06, "attack_steps": 4, "learning_rate": 0.1}
    accuracy = {
        name: trained(name, epochs=25, **values)[1].callback_metrics["val/pgd_accuracy"].item()
        for name in ("natural", "pgd_at")
    }
    assert accuracy["pgd_at"] > accuracy["natural"] + 0.3, accuracy


def test_crops_and_flips_are_of_the_same_picture():
    torch.manual_seed(0)
    x = torch.rand(200, 2, 6, 5)
    made = augmented(x, padding=1)
    assert made.shape == x.shape and made.is_contiguous()
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    found = set()
    for picture, source in zip(made, padded, strict=True):
        fits = [
            (top, left, mirrored)
            for top in range(3)
            for left in range(3)
            for mirrored in (False, True)
            if torch.equal(
                picture,
                source[:, top : top + 6, left : left + 5].flip(2)
                if mirrored
                else source[:, top : top + 6, left : left + 5],
            )
        ]
        assert len(fits) == 1
        found.add(fits[0])
    assert len(found) == 18
