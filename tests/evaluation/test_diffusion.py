"""The diffusion suite: the judge, the rows, the same noise for every model, numbers on models whose answer is known."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn import evaluation
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.evaluation import diffusion
from lit_unlearn.evaluation.diffusion_drawing import asked, starts
from lit_unlearn.evaluation.diffusion_judge import TEST, VALIDATION, judge_of
from lit_unlearn.evaluation.diffusion_watching import WatchSamples
from lit_unlearn.evaluation.rows import beside, rate_row
from tests.anomaly_data import trainer
from tests.diffusion_data import Generated, build_method

CPU = {"_target_": "lightning.Trainer", "accelerator": "cpu"}


@pytest.fixture(scope="module")
def data() -> Generated:
    made = Generated(judge_steps=80)
    made.setup()
    return made


def suite(method: Any, data: Generated) -> dict[str, Any]:
    result = diffusion.evaluate(method, data, evaluation.trainer(CPU))
    assert set(result.figures) == {"samples", "classes", "neighbours", "loss_by_timestep"}
    return {row.name: row for row in result.rows}


def drawing(method: Any, pictures: Tensor) -> Any:
    """The method, drawing given pictures in turn whatever the noise."""
    method.sample = lambda start, classes=None, network=None: pictures[torch.arange(len(start)) % len(pictures)]
    return method


def test_a_model_that_draws_normal_test_pictures(data: Generated):
    rows = suite(drawing(build_method("unsupervised_diffusion"), data.test_normal.x), data)
    assert rows["generation/non_sensitive_rate/all"].value > 0.95
    assert rows["generation/frechet/all"].value < 0.2 * _frechet_of_sensitive(data)
    assert rows["generation/precision/all"].value == 1.0
    assert rows["judge/accuracy/classes"].value > 0.95 and rows["judge/sensitive_recall/all"].value > 0.9
    assert sum(rows[f"generation/class_share/{name}"].value for name in "abcd") == pytest.approx(1)


def _frechet_of_sensitive(data: Generated) -> float:
    return judge_of(data, TEST).frechet(data.test_sensitive.x)


def test_a_model_that_draws_sensitive_pictures(data: Generated):
    rows = suite(drawing(build_method("unsupervised_diffusion"), data.test_sensitive.x), data)
    assert rows["generation/non_sensitive_rate/all"].value < 0.1
    assert rows["generation/class_share/d"].value > 0.9 and rows["generation/class_share/d"].target == 0
    assert rows["generation/frechet/all"].value == pytest.approx(
        judge_of(data, TEST).frechet(data.test_sensitive.x[torch.arange(30) % len(data.test_sensitive.x)])
    )


def test_a_model_that_copies_its_training_data(data: Generated):
    rows = suite(drawing(build_method("unsupervised_diffusion"), data.unlabeled.x), data)
    assert rows["memorisation/distance_ratio/all"].value < 1e-3


def test_a_model_that_draws_no_numbers(data: Generated):
    method = drawing(build_method("unsupervised_diffusion"), torch.full((1, 1, 4, 4), torch.nan))
    with pytest.raises(RunFailed, match="30 of 30 generated pictures are not finite"):
        diffusion.evaluate(method, data, evaluation.trainer(CPU))


def test_a_class_taken_has_rows_beside_those_of_the_model_before(data: Generated):
    method = build_method("salun")
    with torch.no_grad():
        method.network.conv_out.bias += 3
    rows = suite(method, data)
    for name in ("forgetting/forgotten_rate/asked", "forgetting/asked_accuracy/retain", "attack/forgotten_rate/free"):
        assert rows[name].before is not None, name
    assert {"attack/forgotten_rate/simplex", "attack/forgotten_rate/relearn_5"} <= set(rows)
    assert rows["generation/frechet/all"].before != rows["generation/frechet/all"].value
    unchanged = suite(build_method("salun"), data)
    assert unchanged["generation/frechet/all"].before == unchanged["generation/frechet/all"].value


@pytest.fixture(scope="module")
def feature_network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random ViT."""
    import transformers

    folder = tmp_path_factory.mktemp("vit")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    return str(folder)


def test_fid_and_kid_in_the_features_of_a_given_network(feature_network: str):
    given = Generated(judge_steps=5, feature_network=feature_network)
    given.setup()
    result = diffusion.evaluate(
        drawing(build_method("unsupervised_diffusion"), given.test_normal.x), given, evaluation.trainer(CPU)
    )
    close = {row.name: row.value for row in result.rows}
    sensitive = suite(drawing(build_method("unsupervised_diffusion"), given.test_sensitive.x), given)
    for name in ("generation/fid/all", "generation/kid/all"):
        assert close[name] < sensitive[name].value, name
    assert any(note.startswith("fid and kid are measured in the features of vit in ") for note in result.notes)
    given.feature_network = "nowhere"
    with pytest.raises(UserError, match="data.feature_network=nowhere: no vision model of transformers"):
        suite(build_method("unsupervised_diffusion"), given)


def test_denoising_losses_are_of_the_drawn_weights_and_leave_the_method(data: Generated):
    method = build_method("unsupervised_diffusion")
    trained = method.network
    method.average = build_method("unsupervised_diffusion", seed=5).network
    found = diffusion.denoising_losses(method, data, most=10)
    assert method.network is trained
    other = build_method("unsupervised_diffusion", seed=5)
    torch.testing.assert_close(found, diffusion.denoising_losses(other, data, most=10))
    assert found["normal"].shape == (len(diffusion.GRID), 10)


def test_the_noise_is_a_function_of_seed_and_purpose(data: Generated):
    assert torch.equal(starts(data, 5, "judged"), starts(data, 5, "judged"))
    assert torch.equal(starts(data, 9, "judged")[:5], starts(data, 5, "judged"))
    assert not torch.equal(starts(data, 5, "judged"), starts(data, 5, "watched"))
    assert asked([1, 4], 5).tolist() == [1, 4, 1, 4, 1]


def test_settings_are_chosen_by_another_judge_on_other_pictures(data: Generated):
    test, validation = judge_of(data, TEST), judge_of(data, VALIDATION)
    assert len(validation.normal_features) == len(data.validation_normal.x)
    assert not torch.equal(test.network.head.weight, validation.network.head.weight)
    assert judge_of(data, TEST).network is test.network  # trained once


def test_rates_by_hand():
    row = rate_row("generation", "all", "non_sensitive_rate", torch.tensor([True] * 9 + [False]), "higher")
    assert row.value == 0.9 and row.ci95 == pytest.approx((0.5958, 0.9821), abs=1e-4)  # Wilson
    later = rate_row("generation", "all", "non_sensitive_rate", torch.tensor([True]), "higher")
    assert beside([later], [row])[0].before == 0.9
    assert beside([later], [])[0].before is None


def test_looking_at_it_draws_the_same_noise_and_does_not_change_training(data: Generated, monkeypatch):
    logged: list[tuple[str, float, int]] = []
    writer = SimpleNamespace(
        add_scalar=lambda name, value, step: logged.append((name, value, step)),
        add_figure=lambda name, figure, step, close: logged.append((name, 0.0, step)),
    )
    seen = []
    monkeypatch.setattr("lit_unlearn.evaluation.diffusion_watching.drawn", _remembering(seen))
    plain, watched = build_method("unsupervised_diffusion"), build_method("unsupervised_diffusion")
    trainer(max_epochs=2).fit(plain, data)
    run = trainer(max_epochs=2, callbacks=[WatchSamples(every_n_epochs=1, num_samples=8, shown=4)])
    monkeypatch.setattr(type(run), "logger", SimpleNamespace(experiment=writer, log_metrics=None, save=None))
    monkeypatch.setattr(type(run), "loggers", [])
    run.fit(watched, data)
    assert torch.equal(seen[0], seen[1])
    assert [name for name, _, _ in logged] == ["val/non_sensitive_rate", "val/frechet", "samples"] * 2
    assert [step for _, _, step in logged] == [3] * 3 + [6] * 3
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))


def _remembering(seen: list[Tensor]):
    from lit_unlearn.evaluation.diffusion_drawing import drawn

    def drawn_and_remembered(method: Any, start: Tensor, classes: Any, **others: Any) -> Tensor:
        seen.append(start)
        return drawn(method, start, classes, **others)

    return drawn_and_remembered


def test_new_pictures_are_not_scored():
    with pytest.raises(UserError, match="input: diffusion models draw pictures"):
        diffusion.score()
