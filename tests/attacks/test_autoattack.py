"""AutoAttack through the wrapper: the library's verdicts, the pictures it broke, resume, and what it leaves alone."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_unlearn.attacks import autoattack as wrapper
from lit_unlearn.attacks.autoattack import autoattack
from lit_unlearn.attacks.ball import Ball
from lit_unlearn.errors import UserError
from tests.robust_data import Patterns, classifier

BALL = Ball("linf", 0.12)
WHITE_BOX = ("apgd-ce", "apgd-t", "fab-t")


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A network trained for a moment, and the test pictures: some stand, some do not."""
    data = Patterns()
    data.setup()
    net, (x, y) = classifier().requires_grad_(True), data.train.all()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimiser.step()
    optimiser.zero_grad()
    return net.eval(), *data.test.all()


@pytest.fixture(autouse=True)
def fewer_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten iterations and 30 queries instead of 100 and 5000: the wrapper does not care."""
    build = wrapper._library

    def short(*arguments):
        made = build(*arguments)
        for attack in made.values():
            of = attack.__self__
            if hasattr(of, "n_queries"):
                of.n_queries = 30
            else:
                of.n_iter = 10
        return made

    monkeypatch.setattr(wrapper, "_library", short)


def test_verdicts_are_those_of_the_library(trained):
    from pyautoattack import AutoAttack

    net, x, y = trained
    library = AutoAttack(net, norm="Linf", eps=BALL.eps, seed=0, version="standard")
    library.apgd.n_iter = library.apgd_targeted.n_iter = library.fab.n_iter = 10
    library.square.n_queries = 30
    library.apgd_targeted.n_target_classes = library.fab.n_target_classes = 3
    theirs, _ = library.run_standard_evaluation(x, y, batch_size=16)
    ours = autoattack(net, x, y, BALL, batch_size=16)
    assert torch.equal(ours.standing, net(theirs).argmax(1) == y)
    assert torch.equal(ours.x, theirs)
    assert 0 < ours.standing.sum() < ours.broken["clean"] + len(y)


def test_broken_pictures_are_the_proof(trained):
    net, x, y = trained
    found = autoattack(net, x, y, BALL, WHITE_BOX)
    assert torch.equal(net(found.x).argmax(1) == y, found.standing)
    assert BALL.distance(found.x, x).max() <= BALL.eps + 1e-6
    assert found.x.min() >= 0 and found.x.max() <= 1
    assert sum(found.broken.values()) == int((~found.standing).sum())
    assert list(found.broken) == ["clean", *WHITE_BOX]


def test_only_standing_pictures_are_attacked(trained, monkeypatch: pytest.MonkeyPatch):
    net, x, y = trained
    build, given = wrapper._library, {}

    def watched(*arguments):
        def watch(name, attack):
            def call(x, y):
                given[name] = given.get(name, 0) + len(x)
                return attack(x, y)

            return call

        return {name: watch(name, attack) for name, attack in build(*arguments).items()}

    monkeypatch.setattr(wrapper, "_library", watched)
    found = autoattack(net, x, y, BALL, WHITE_BOX)
    stand = len(y) - found.broken["clean"]
    for name in WHITE_BOX:
        assert given[name] == stand
        stand -= found.broken[name]
    assert found.broken["apgd-ce"] > 0


class StoppedError(Exception):
    """The moment at which a run is killed."""


@pytest.mark.parametrize("calls", [1, 2, 4])
def test_goes_on_where_it_stopped(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int):
    net, x, y = trained
    whole = autoattack(net, x, y, BALL, WHITE_BOX, batch_size=16)
    state, write, left = tmp_path / "attacks" / "best.safetensors", wrapper._write, calls

    def stop(*arguments):
        nonlocal left
        write(*arguments)
        left -= 1
        if left == 0:
            raise StoppedError

    monkeypatch.setattr(wrapper, "_write", stop)
    with pytest.raises(StoppedError):
        autoattack(net, x, y, BALL, WHITE_BOX, batch_size=16, state=state)
    left = -1
    monkeypatch.setattr(wrapper, "_library", counting(counted := [], wrapper._library))
    resumed = autoattack(net, x, y, BALL, WHITE_BOX, batch_size=16, state=state)
    assert torch.equal(resumed.standing, whole.standing) and torch.equal(resumed.x, whole.x)
    assert resumed.broken == whole.broken
    again = len(counted)
    autoattack(net, x, y, BALL, WHITE_BOX, batch_size=16, state=state)
    assert len(counted) == again  # finished: nothing is attacked any more


def counting(calls: list[str], build):
    def made(*arguments):
        return {
            name: lambda x, y, name=name, attack=attack: calls.append(name) or attack(x, y)
            for name, attack in build(*arguments).items()
        }

    return made


def test_a_state_of_something_else_is_not_used(trained, tmp_path: Path):
    net, x, y = trained
    state = tmp_path / "state.safetensors"
    first = autoattack(net, x, y, BALL, ("apgd-ce",), state=state)
    smaller = autoattack(net, x, y, Ball("linf", 0.01), ("apgd-ce",), state=state)
    assert smaller.standing.sum() > first.standing.sum()
    state.write_bytes(state.read_bytes()[:50])
    assert torch.equal(autoattack(net, x, y, BALL, ("apgd-ce",), state=state).standing, first.standing)


def test_leaves_noise_modes_and_gradients_alone(trained):
    net, x, y = trained
    net.train()
    state = torch.get_rng_state()
    net.zero_grad()
    autoattack(net, x, y, BALL)
    assert torch.equal(torch.get_rng_state(), state) and net.training
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    net.eval()


def test_l2(trained):
    net, x, y = trained
    found = autoattack(net, x, y, Ball("l2", 0.5), WHITE_BOX)
    assert Ball("l2", 0.5).distance(found.x, x).max() <= 0.5 + 1e-5
    assert found.broken["apgd-ce"] > 0


def test_too_few_classes(trained):
    _, x, _ = trained
    with pytest.raises(UserError, match="has 3 classes, the targeted DLR loss needs 4"):
        autoattack(classifier(classes=3), x, torch.zeros(len(x), dtype=torch.int64), BALL)
