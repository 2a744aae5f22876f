"""What a user gets wrong about networks, teachers and attacks: a line each, before anything is written."""

from pathlib import Path

import pytest

from lit_unlearn.networks.classifier import Classifier
from lit_unlearn.networks.classifier_files import save_classifier
from tests.refusals import assert_lines, folder as folder, refused
from tests.robust_data import MEAN, STD, classifier_folder

ARDIR = ["experiment=ardir/digits", "requires=[]", f"model.teacher={classifier_folder(10)}"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (["model.eps=-0.1"], r"method.eps=-0.1: should be greater than or equal to 0"),
        (["model.norm=l3"], r"method.norm='l3': should be 'linf' or 'l2'"),
        (["model.network=resnet19"], r"method.network='resnet19': should be .*; did you mean resnet18\?"),
        (["method.alpha=1.5"], r"method.alpha=1.5: should be less than or equal to 1"),
        (["model.attack_steps=0"], r"method.attack_steps=0: should be greater than or equal to 1"),
        (
            ["method.layers=[layer4]"],
            r"method.layers=layer4: the network has no such module; it has conv1, conv2, conv3, hidden, penulti",
        ),
        (
            ["model.teacher=nowhere"],
            r"method.teacher=nowhere: no such file or folder; run the experiment that makes it",
        ),
        (
            [f"model.teacher={classifier_folder(7)}"],
            r"method.teacher=.*: made for num_classes 7, the data have 10; give a network made for them",
        ),
        (["method.pretrained=nowhere"], r"method.pretrained=nowhere: no such file or folder"),
        (["data.validation=2000"], r"data.validation=2000: there are 1252 training pictures; hold out fewer"),
        (
            ["method=akd", "model.standard_teacher=nowhere", "method.robust_weight=0.9"],
            r"method.robust_weight=0.9: exceeds 1 together with method.standard_weight=0.25",
        ),
    ],
    ids=lambda value: value[-1].split("=")[0] if isinstance(value, list) else "",
)
def test_one_line(changed: list[str], line: str):
    assert_lines(refused(*ARDIR, *changed), [line])


def test_a_student_needs_an_experiment_with_a_teacher():
    lines = refused("experiment=pgd_at/digits", "method=ardir")
    assert_lines(lines, [r"model.teacher: the method or data chosen needs it, and the experiment does not have it"])


def test_a_layer_that_the_teacher_lacks(tmp_path: Path):
    save_classifier(Classifier("resnet20", [1, 8, 8], 10, MEAN, STD), tmp_path / "teacher")
    lines = refused(*ARDIR, "model.teacher=teacher", "method.layers=[conv3]")
    assert_lines(lines, [r"method.layers=conv3: the network has no such module; it has conv1, bn1, layer1, "])
