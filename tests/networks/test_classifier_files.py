"""Classifiers written and read: a folder, published weights; and files that are not what they should be."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lit_unlearn.errors import UserError
from lit_unlearn.networks.classifier_files import load_classifier, save_classifier
from tests.robust_data import CLASSES, SHAPE, classifier

X = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))


def load(path: Path, network="small_conv", shape=SHAPE, classes=CLASSES):
    return load_classifier(str(path), "method.teacher", network, shape, classes)


def test_a_folder(tmp_path: Path):
    net = classifier()
    save_classifier(net, tmp_path / "export")
    read = load(tmp_path / "export", network=None)
    assert torch.equal(read(X), net(X))
    assert not read.training and not any(weight.requires_grad for weight in read.parameters())
    assert read.made_of == net.made_of


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "1."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "net"])
def test_published_weights(prefix: str, wrapper: str | None, tmp_path: Path):
    net = classifier()
    weights = {prefix + name: value for name, value in net.body.state_dict().items()}
    torch.save({wrapper: weights, "epoch": 3} if wrapper else weights, tmp_path / "robust.pt")
    read = load(tmp_path / "robust.pt")
    assert torch.equal(read(X), net.body(X))  # no normalisation unless the file has one


def test_published_weights_with_their_normalisation(tmp_path: Path):
    net = classifier()
    weights = {f"model.{name}": value for name, value in net.body.state_dict().items()}
    weights |= {"normalize.mean": torch.tensor([0.4]), "normalize.std": torch.tensor([0.3])}
    save_file(weights, tmp_path / "robust.safetensors")
    assert torch.equal(load(tmp_path / "robust.safetensors")(X), net(X))


def test_older_weights_have_no_counters(tmp_path: Path):
    net = classifier(network="resnet20")
    weights = {name: value for name, value in net.body.state_dict().items() if "num_batches" not in name}
    save_file(weights, tmp_path / "old.safetensors")
    assert torch.equal(load(tmp_path / "old.safetensors", "resnet20")(X), net.body(X))


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return (print, ("run",))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys):
    torch.save({"state_dict": classifier().body.state_dict(), "x": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(UserError, match="could run code"):
            load(tmp_path / name)
    assert "run\n" not in capsys.readouterr().out


def wrong(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    weights = classifier().body.state_dict()
    save_classifier(classifier(), tmp_path / "folder")
    save_classifier(classifier(), tmp_path / "no_config")
    (tmp_path / "no_config" / "config.json").unlink()
    save_file(weights, tmp_path / "bare.safetensors")
    save_file({k: v for k, v in weights.items() if k != "conv1.bias"} | {"odd": X}, tmp_path / "odd.safetensors")
    save_file(classifier(classes=7).body.state_dict(), tmp_path / "seven.safetensors")
    (tmp_path / "html.safetensors").write_text("<!DOCTYPE html><title>Too many requests</title>")
    (tmp_path / "cut.pt").write_bytes(b"PK\3\4")
    return {
        "absent": (tmp_path / "absent", "no such file or folder; run the experiment that makes it"),
        "no_config": (tmp_path / "no_config", "the folder lacks config.json"),
        "odd": (tmp_path / "odd.safetensors", "it lacks conv1.bias; it has odd; name the network"),
        "seven": (tmp_path / "seven.safetensors", "of another shape: linear.weight, linear.bias"),
        "html": (tmp_path / "html.safetensors", "damaged or no safetensors file"),
        "cut": (tmp_path / "cut.pt", "damaged"),
    }


@pytest.mark.parametrize("case", ["absent", "no_config", "odd", "seven", "html", "cut"])
def test_wrong_files(case: str, tmp_path: Path):
    path, said = wrong(tmp_path)[case]
    with pytest.raises(UserError) as error:
        load(path)
    assert said in str(error.value) and f"method.teacher={path}" in str(error.value)
    assert len(error.value.lines) == 1 and "\n" not in str(error.value)


def test_bare_weights_need_the_network_s_name(tmp_path: Path):
    path = wrong(tmp_path)["odd"][0].with_name("bare.safetensors")
    with pytest.raises(UserError, match=r"give method.teacher_network=..., one of small_conv, "):
        load(path, network=None)


def test_other_classes_and_pictures_are_refused(tmp_path: Path):
    save_classifier(classifier(), tmp_path / "folder")
    with pytest.raises(UserError, match="made for num_classes 4, the data have 10"):
        load(tmp_path / "folder", classes=10)
    with pytest.raises(UserError, match=r"made for input_shape \[1, 8, 8\], the data have \[1, 28, 28\]"):
        load(tmp_path / "folder", shape=[1, 28, 28])
