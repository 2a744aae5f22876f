"""Objectives of the diffusion methods against their equations, on a tiny network with known noise."""

import copy
from typing import Any

import pytest
import torch

from lit_unlearn import nodes
from lit_unlearn.errors import UserError
from lit_unlearn.losses.denoising import min_snr_weight, noised, stratified_timesteps, target
from lit_unlearn.losses.pu import positive_bce
from tests.anomaly_data import trainer
from tests.diffusion_data import METHODS, NUM_CLASSES, TINY, Generated, build_method, method_node, pipeline_folder


@pytest.fixture(scope="module")
def data() -> Generated:
    made = Generated()
    made.setup()
    return made


@pytest.fixture(scope="module")
def batch(data: Generated):
    return next(iter(data.train_dataloader()))


def objective(method: Any, batch: Any, seed: int = 3) -> torch.Tensor:
    torch.manual_seed(seed)
    return method.objective(batch)


def per_sample(method: Any, batch: Any, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """What the objective of the same seed sees."""
    torch.manual_seed(seed)
    return tuple(found.losses.mean(0) for found in method.both(batch))


TWO_PLAYERS = ("concept_domain_correction", "sfd")


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TWO_PLAYERS])
def test_a_step_lowers_the_loss_on_the_same_noise(name: str, data: Generated, batch):
    method = build_method(name, learning_rate=1e-3)
    trainer(max_epochs=1, limit_train_batches=1).fit(method, data)
    before = objective(method, batch).item()
    optimiser = torch.optim.SGD([weight for weight in method.network.parameters() if weight.requires_grad], 1e-3)
    objective(method, batch).backward()
    optimiser.step()
    assert objective(method, batch).item() < before


def test_unsupervised_by_hand(data: Generated, batch):
    """The mean squared error of epsilon, at the timesteps and noise drawn with the seed."""
    method = build_method("unsupervised_diffusion")
    torch.manual_seed(3)
    found = method.denoise(batch.unlabeled, batch.unlabeled_class)
    torch.manual_seed(3)
    t, noise = stratified_timesteps(37, 100), torch.randn(37, 1, 4, 4)
    said = method.network(noised(batch.unlabeled, noise, method.alphas_bar[t]), t).sample
    torch.testing.assert_close(found.losses[0], (said - noise).square().mean((1, 2, 3)))
    assert torch.equal(found.timesteps[0], t)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_predictions_and_weights_by_timestep(prediction: str, batch):
    """The loss of a network that says nothing but its bias is that of the target, weighted by min-SNR where asked."""
    model = {"path": None, "unet": {**TINY, "prediction": prediction}}
    plain, weighted = (build_method("unsupervised_diffusion", model=model, weighting=w) for w in ("plain", "min_snr"))
    x, t, noise = batch.unlabeled, torch.arange(37), torch.randn(37, 1, 4, 4)
    found = []
    for method in (plain, weighted):
        method.predict = lambda noised_x, t, classes: torch.zeros_like(noised_x)
        found.append(method.losses_at(x, batch.unlabeled_class, t, noise))
    a = plain.alphas_bar[t]
    wanted = target(x, noise, a, prediction)
    torch.testing.assert_close(found[0], wanted.square().mean((1, 2, 3)))
    torch.testing.assert_close(found[1], found[0] * min_snr_weight(a, prediction, 5.0).float())


@pytest.mark.parametrize("name", ["pu_diffusion_mean", "pu_diffusion_sum"])
def test_the_plain_readings_are_equation_2(name: str, batch):
    method = build_method(name, beta=0.1)
    unlabeled, labelled = per_sample(method, batch)
    bracket = unlabeled.mean() - 0.1 * labelled.mean()
    expected = 0.1 * positive_bce(labelled, 1e-6).mean() + bracket.abs()
    torch.testing.assert_close(objective(method, batch), expected)
    pixels = {"pu_diffusion_mean": 1, "pu_diffusion_sum": 16}[name]
    plain = build_method("unsupervised_diffusion")
    torch.testing.assert_close(unlabeled, pixels * per_sample(plain, batch)[0])


@pytest.mark.parametrize("correction", ["abs", "clamp", "nnpu", "none"])
def test_beta_0_is_unsupervised(correction: str, batch):
    method = build_method("pu_diffusion", beta=0.0, correction=correction)
    torch.testing.assert_close(objective(method, batch), per_sample(method, batch)[0].mean())


def test_the_scale_is_divided_out_of_a_risk_without_logarithm(batch):
    """So that the learning rate means the same with any scale."""
    found = [
        objective(build_method("pu_diffusion", positive="none", cap=None, scale=scale), batch) for scale in (1.0, 10.0)
    ]
    torch.testing.assert_close(found[0], found[1])


def test_several_timesteps_are_averaged_before_the_logarithm(batch):
    method = build_method("pu_diffusion_mean", t_samples=3, beta=0.1)
    torch.manual_seed(3)
    unlabeled, labelled = (found.losses for found in method.both(batch))
    assert labelled.shape == (3, 10)
    expected = 0.1 * positive_bce(labelled.mean(0), 1e-6).mean() + (unlabeled.mean() - 0.1 * labelled.mean()).abs()
    torch.testing.assert_close(objective(method, batch), expected)


def test_the_supervised_loss(batch):
    method = build_method("supervised_diffusion", sensitive_weight=0.5)
    unlabeled, labelled = per_sample(method, batch)
    expected = unlabeled.mean() + 0.5 * positive_bce(labelled, 1e-6).mean()
    torch.testing.assert_close(objective(method, batch), expected)


def test_beta_is_estimated_before_the_first_step(data: Generated):
    method = build_method("pu_diffusion", beta="estimate")
    trainer(max_epochs=1, limit_train_batches=1).fit(method, data)
    assert 0.02 < float(method.beta) < 0.25  # 0.1


def test_the_filter_drops_a_share_of_u_and_most_of_what_is_sensitive(data: Generated, batch):
    method = build_method("filtered_diffusion", filter_steps=100, beta=0.1)
    trainer(max_epochs=1, limit_train_batches=1).fit(method, data)
    dropped = method.filter(data.unlabeled.x).squeeze(1) > method.threshold
    assert int(dropped.sum()) == 11
    assert (data.unlabeled.y[dropped] == 3).float().mean() > 0.7
    torch.manual_seed(3)
    losses = method.denoise(batch.unlabeled, batch.unlabeled_class).losses[0]
    kept = method.filter(batch.unlabeled).squeeze(1) <= method.threshold
    torch.testing.assert_close(objective(method, batch), losses[kept].mean())


def test_the_class_is_told_and_sometimes_hidden_in_training(batch):
    method = build_method("esd", class_dropout=0.5)
    torch.manual_seed(0)
    told = method.told(torch.zeros(1000, dtype=torch.long))
    assert set(told.tolist()) == {0, NUM_CLASSES} and 430 < int((told == 0).sum()) < 570
    method.eval()
    assert method.told(batch.unlabeled_class) is batch.unlabeled_class


def test_guidance_goes_beyond_the_class_and_away_from_none(batch):
    start, classes = torch.randn(3, 1, 4, 4), torch.tensor([0, 1, 2])
    plain, guided = (build_method("esd", guidance=weight) for weight in (0.0, 2.0))
    x, t = start, torch.tensor(50)
    told, untold = (plain.predict(x, t, asked) for asked in (classes, torch.full((3,), NUM_CLASSES)))
    seen = []
    guided.predict, original = lambda *given: seen.append(given) or original(*given), guided.predict
    guided.sample(start, classes)
    assert {tuple(given[2].tolist()) for given in seen} == {(0, 1, 2), (4, 4, 4)}
    assert not torch.equal(guided.sample(start, classes), plain.sample(start, classes))
    assert not torch.equal(told, untold)


def test_esd_is_guidance_with_the_opposite_sign(data: Generated, batch):
    """Untrained, the loss is (1 + eta)^2 |e(c) - e(-)|^2."""
    found = {}
    for eta in (0.0, 1.0):
        method = build_method("esd", eta=eta)
        method._untouched = [copy.deepcopy(method.network)]
        found[eta] = objective(method, batch).item()
    assert found[0.0] > 0
    assert found[1.0] == pytest.approx(4 * found[0.0], rel=1e-4)


def test_esd_of_the_class_embedding_alone_changes_nothing_else(data: Generated):
    method = build_method("esd", trained="class_embedding", learning_rate=0.1)
    before = copy.deepcopy(method.network.state_dict())
    trainer(max_epochs=1).fit(method, data)
    changed = [name for name, value in method.network.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["class_embedding.weight"]


def test_salun_changes_only_weights_under_the_mask(data: Generated):
    method = build_method("salun", mask_share=0.1, learning_rate=0.01)
    before = {name: weight.detach().clone() for name, weight in method.network.named_parameters()}
    trainer(max_epochs=1).fit(method, data)
    masks, moved, total = method._masks, 0, 0
    for name, weight in method.network.named_parameters():
        different = weight.detach() != before[name]
        assert not (different & (masks[name] == 0)).any(), name
        moved, total = moved + int(different.sum()), total + weight.numel()
    assert 0.05 * total < moved <= 0.11 * total


def test_the_corrected_gradient_keeps_the_prior_and_points_against_none_of_it(data: Generated, batch):
    """The discriminator's part is its own gradient; the network's is the prior's plus what does not oppose it."""
    method = build_method("concept_domain_correction", alone=0.0, prior_weight=3.0)
    trainer(max_epochs=1, limit_train_batches=1).fit(method, data)
    method.zero_grad()
    objective(method, batch).backward()
    corrected = {name: weight.grad.clone() for name, weight in method.network.named_parameters()}
    torch.manual_seed(3)
    method.noise_like(torch.cat([batch.labelled, batch.labelled]))  # the draws before the prior's
    prior = 3.0 * method.denoise(*method.retained(batch)).losses.mean()
    found = torch.autograd.grad(prior, list(method.network.parameters()))
    for name, kept in zip(corrected, found, strict=True):
        added = corrected[name] - kept
        assert (added * kept).sum() >= -1e-6 * kept.norm() * max(1.0, added.norm()), name
    assert all(weight.grad.abs().sum() > 0 for weight in method.discriminator.parameters())


def test_the_discriminator_learns_alone_at_first(data: Generated, batch):
    method = build_method("concept_domain_correction", alone=0.9)
    before = copy.deepcopy(method.network.state_dict())
    trainer(max_epochs=1).fit(method, data)
    assert all(torch.equal(value, before[name]) for name, value in method.network.state_dict().items())


def test_salun_takes_the_next_class_that_stays():
    method = build_method("salun")
    method.sensitive_classes = [2, 3]
    assert method.other(torch.tensor([2, 3, 0])).tolist() == [0, 0, 1]


def test_what_is_made_before_the_first_step_is_the_same_at_each_start(data: Generated):
    """A resumed run makes it again from the untouched model, whatever the trained one has become."""
    made = []
    for seed in (0, 1):
        method = build_method("selective_amnesia")
        with torch.no_grad():
            for weight in method.network.parameters():
                weight += seed
        torch.manual_seed(seed)
        trainer(max_epochs=1, limit_train_batches=1).fit(method, data)
        made.append((method._own[0], *method._fisher))
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))
    assert sum(float(fisher.sum()) for fisher in made[0][1:]) > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": {"path": None, "unet": None}}, "model.path and model.unet: give one of them"),
        ({"sensitive_timesteps": [60, 10]}, r"sensitive_timesteps=\[60, 10\]: give \[low, high\] with 0 <= low < high"),
        ({"sensitive_timesteps": [0, 101]}, r"low < high <= 100"),
        ({"sensitive_timesteps": [5]}, r"sensitive_timesteps=\[5\]: give \[low, high\]"),
    ],
)
def test_arguments_that_do_not_go_together(values: dict, message: str):
    with pytest.raises(UserError, match=message):
        nodes.build(method_node("pu_diffusion") | values)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"path": None, "unet": {**TINY, "conditional": True}}, "model.path=null: method=esd changes a trained model"),
        ({"path": pipeline_folder(False), "unet": None}, "is not told a class; method=esd needs a class-conditional"),
    ],
)
def test_unlearning_needs_a_trained_conditional_model(model: dict, message: str, data: Generated):
    method = build_method("esd", model=model)
    with pytest.raises(UserError, match=message):
        method.check(data)


def test_a_network_from_a_folder_is_trained_with_dropout_on():
    assert build_method("esd").network.training
