"""SFD: what the generator draws, who learns from which loss, what is asked of whom, what other programs get."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datamodules.diffusion.batches import DiffusionBatch
from lit_unlearn import evaluation, nodes
from lit_unlearn.attacks.class_prompt import optimised_prompt
from lit_unlearn.attacks.diffusion_relearning import relearned
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import diffusion
from lit_unlearn.networks.denoiser import new_unet, pretrained_unet, save_pipeline
from lit_unlearn.networks.one_step import drawn_at
from tests.anomaly_data import trainer
from tests.diffusion_data import NUM_CLASSES, SHAPE, TINY, Generated, build_method, method_node

KEPT, FORGOTTEN = torch.tensor([0, 1, 2, 1]), torch.tensor([3, 3])


@pytest.fixture(params=["epsilon", "sample", "v_prediction"])
def method(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """With a teacher, float64; generator and fake score are the teacher yet."""
    sizes = {**TINY, "conditional": True, "prediction": request.param}
    save_pipeline(tmp_path, *new_unet(sizes, SHAPE, NUM_CLASSES))
    return with_teacher(model={"path": str(tmp_path), "unet": None}).double()


def with_teacher(**values: Any) -> Any:
    made: Any = build_method("sfd", **values)
    made._untouched = [made.fresh_network()[0].double().eval().requires_grad_(False)]
    return made


def start(count: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed)).double()


def batch(value: float = 0.0) -> DiffusionBatch:
    x = torch.full((6, *SHAPE), value).double()
    return DiffusionBatch(x, torch.zeros(6, dtype=torch.long), x[:2], FORGOTTEN)


def gradients(network: nn.Module) -> Iterator[Tensor]:
    return (weight.grad for weight in network.parameters() if weight.grad is not None)


def size(network: nn.Module) -> float:
    """Of the gradients."""
    return sum(float(gradient.abs().sum()) for gradient in gradients(network))


def test_a_picture_is_what_the_network_sees_behind_the_start(method: Any):
    """x_0 of the prediction at 0.44 T, with the start in the place of x_t."""
    e, t = start(), torch.full((4,), 44)
    said, a = method.network(e, t, class_labels=KEPT).sample, method.alphas_bar[44]
    expected = {
        "epsilon": (e - (1 - a).sqrt() * said) / a.sqrt(),
        "sample": said,
        "v_prediction": a.sqrt() * e - (1 - a).sqrt() * said,
    }[method.noise.prediction]
    torch.testing.assert_close(method.generated(e, KEPT), expected)
    torch.testing.assert_close(method.sample(e, KEPT), expected.clamp(-1, 1))


def test_the_untouched_model_still_draws_in_many_steps():
    method, plain = with_teacher().float(), build_method("salun")
    other, e = copy.deepcopy(plain.network), start().float()
    assert torch.equal(method.sample(e, KEPT, other), plain.sample(e, KEPT, other))
    assert not torch.equal(method.sample(e, KEPT), plain.sample(e, KEPT, other))


def test_attacked_generators_draw_in_one_step():
    method, x = with_teacher().float(), start().float()
    found = [
        optimised_prompt(method.network, method.noise, x, 3, "free", 1, 0),
        relearned(method.network, method.noise, x, torch.full((4,), 3), 1, 0),
        copy.deepcopy(method.network),
    ]
    for network in found:
        calls: list[Tensor] = []
        network.register_forward_pre_hook(lambda module, given, calls=calls: calls.append(given[1]))
        method.sample(x, KEPT, network)
        assert [call.unique().tolist() for call in calls] == [[44]]


def test_the_report_says_how_it_draws():
    data, cpu = Generated(judge_steps=5), {"_target_": "lightning.Trainer", "accelerator": "cpu"}
    data.setup()
    result = diffusion.evaluate(build_method("sfd"), data, evaluation.trainer(cpu))
    assert any(note.startswith("the result draws in one step, the model before in many") for note in result.notes)
    rows = {row.name: row for row in result.rows}
    untouched = build_method("salun")
    expected = {row.name: row for row in diffusion.evaluate(untouched, data, evaluation.trainer(cpu)).rows}
    for name in ("generation/frechet/all", "forgetting/asked_accuracy/retain"):
        assert rows[name].before == expected[name].value


def test_each_loss_teaches_one_network(method: Any):
    for learns, other, losses in (
        (method.fake, method.network, lambda: method.fake_losses(method.generated(start(), KEPT).detach(), KEPT)),
        (
            method.network,
            method.fake,
            lambda: method.generator_losses(method.generated(start(2), FORGOTTEN), FORGOTTEN),
        ),
    ):
        method.zero_grad()
        losses().sum().backward()
        assert size(learns) > 0 and not list(gradients(other)) and not list(gradients(method.untouched))


def test_the_generator_rests_where_the_fake_score_is_the_teacher_and_the_class_stays(method: Any):
    method.generator_losses(method.generated(start(), KEPT), KEPT).sum().backward()
    assert size(method.network) < 1e-10
    method.generator_losses(method.generated(start(2), FORGOTTEN), FORGOTTEN).sum().backward()
    assert size(method.network) > 1e-3


def test_the_loss_of_the_generator_by_hand(method: Any):
    """Networks that see constants: p = .5 for the class that the teacher is asked for, q = .25; x = -.5, alpha 1.2:
    .25 x (1 - 1.2 x .25) / 1."""
    seen: list[tuple[str, list[int]]] = []

    def clean(xt: Tensor, t: Tensor, classes: Tensor, network: Any) -> Tensor:
        who = "teacher" if network is method.untouched else "fake"
        seen.append((who, classes.tolist()))
        return torch.full_like(xt, {"teacher": 0.5, "fake": 0.25}[who])

    method.clean = clean
    losses = method.generator_losses(torch.full((2, *SHAPE), -0.5).double(), torch.tensor([2, 3]))
    torch.testing.assert_close(losses, torch.full((2,), 0.25 * 0.7).double())
    assert seen == [("teacher", [2, 0]), ("fake", [2, 3])]  # the next class that stays after 3 is 0


def test_the_objective_weighs_the_class_to_forget():
    """1 + .01 x 10 of the fake score, 2 + .1 x 20 of the generator."""
    method = with_teacher(forget_weight=0.1)
    method.fake_losses = lambda x, classes: torch.where(classes == 3, 10.0, 1.0)
    method.generator_losses = lambda x, classes: torch.where(classes == 3, 20.0, 2.0)
    assert method.objective(batch()).item() == pytest.approx(1.1 + 4.0)


def test_no_picture_enters_the_loss():
    found = []
    for value in (0.0, torch.nan):
        method = with_teacher().double()
        torch.manual_seed(3)
        loss = method.objective(batch(value))
        loss.backward()
        found.append([loss, *gradients(method.network), *gradients(method.fake)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_timesteps_are_within_the_bounds(method: Any):
    t, _ = method.noise_like(torch.zeros(500, *SHAPE))
    assert (t.min(), t.max()) == (3, 70)  # .038 and .712 of 100


def test_bounds_that_do_not_go_together():
    with pytest.raises(UserError, match=r"method.lowest=0.5 and method.highest=0.5: give a lowest below the highest"):
        nodes.build(method_node("sfd", lowest=0.5, highest=0.5))


def test_a_checkpoint_holds_the_fake_score_and_not_the_teacher():
    method = build_method("sfd")
    data = Generated()
    data.setup()
    trainer(max_epochs=1).fit(method, data)
    names = set(method.state_dict())
    assert {name.split(".")[0] for name in names} == {"network", "fake"} and len(names) == 2 * len(
        method.network.state_dict()
    )
    before = method.fresh_network()[0].state_dict()
    for network in (method.network, method.fake):
        assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_exported_pipeline_draws_the_same_by_its_own_call(prediction: str, schedule: str, tmp_path: Path):
    from diffusers import DiffusionPipeline

    sizes = {**TINY, "conditional": True, "prediction": prediction, "schedule": schedule}
    save_pipeline(tmp_path / "base", *new_unet(sizes, SHAPE, NUM_CLASSES))
    method = build_method("sfd", model={"path": str(tmp_path / "base"), "unet": None})
    method.export(tmp_path / "export", Generated())
    pipeline: Any = DiffusionPipeline.from_pretrained(tmp_path / "export")
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(4, KEPT.tolist(), generator=torch.Generator().manual_seed(0), output_type="pt").images
    e = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn * 2 - 1, method.sample(e, KEPT), rtol=1e-4, atol=1e-5)
    assert drawn_at(pipeline.unet) == 44
    with pytest.raises(UserError, match="draws in one step and is no diffusion model; give the one that it was made"):
        pretrained_unet(str(tmp_path / "export"), SHAPE, NUM_CLASSES)
