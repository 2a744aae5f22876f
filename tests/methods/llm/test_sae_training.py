"""Training sparse autoencoders: as sae-lens' own trainer, read by sae-lens and by us alike, resumable.

The only test module that imports sae_lens, which takes ten seconds.
"""

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from torch import Tensor

from datamodules.llm.batches import IGNORED
from datamodules.llm.biographies_text import BiographiesText
from lit_unlearn import config, nodes
from lit_unlearn.errors import UserError
from lit_unlearn.methods.llm import sae_training
from lit_unlearn.methods.llm.sae_training import SaeTraining
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder, check_fits, load_sparse_autoencoder
from tests.anomaly_data import trainer
from tests.llm_data import LAYER, WIDTH, WORLD, model_folder, small_text

sae_lens = pytest.importorskip("sae_lens")

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")

ARCHITECTURES = ("topk", "batchtopk", "jumprelu", "standard")
D_SAE, STEPS = 64, 8

every = pytest.mark.parametrize("architecture", ARCHITECTURES)


def build(architecture: str = "topk", **changed: Any) -> SaeTraining:
    model = {"path": model_folder(), "layer": LAYER}
    torch.manual_seed(0)
    settings = {"d_sae": D_SAE, "k": 4, "sparsity": 0.1, "learning_rate": 3e-3, "warm_up": 0.25, "decay": 0.25}
    return SaeTraining(**{"model": model, "architecture": architecture, "dead_after": 2} | settings | changed)


def fitted(method: SaeTraining, steps: int = STEPS, **arguments: Any) -> Trainer:
    made = trainer(max_steps=steps, **arguments)
    made.fit(method, datamodule=small_text())
    return made


def training_states(method: SaeTraining, batches: int) -> list[Tensor]:
    """Of the first batches of a run."""
    return [method.states(batch) for batch in islice(small_text().train_dataloader(), batches)]


@every
def test_a_centre_is_folded_into_the_weights(architecture):
    """What is handed on reads states as they are, and makes of them what was trained on centred ones."""
    method = build(architecture, centred=True)
    fitted(method)
    h = torch.cat(training_states(method, 3))
    seen = torch.cat(training_states(method, sae_training.SCALE_BATCHES))
    torch.testing.assert_close(method.centre, seen.mean(0), atol=1e-5, rtol=1e-5)
    square = ((seen - method.centre) * method.scale).square().sum(1).mean()
    torch.testing.assert_close(square, torch.tensor(float(WIDTH)))
    found = method.autoencoder()
    method.sae.eval()
    with torch.no_grad():
        # batchtopk is handed on with a threshold, which its own codes during training do not have
        z = found.encode(h) if architecture == "batchtopk" else method.sae.encode((h - method.centre) * method.scale)
        if architecture == "batchtopk":
            u = found.pre(h)
            own = method.sae.encode_with_hidden_pre((h - method.centre) * method.scale)[1]
            torch.testing.assert_close(u, own / method.scale, atol=1e-4, rtol=1e-3)
            return
        expected = method.sae.decode(z) / method.scale + method.centre
    torch.testing.assert_close(found(h), expected, atol=1e-4, rtol=1e-3)


def assert_same(ours: SparseAutoencoder, theirs: Any, h: Tensor) -> None:
    """Pre-activations, codes and reconstructions agree to 1e-5."""
    seen: dict[str, Tensor] = {}
    theirs.hook_sae_acts_pre.add_hook(lambda value, hook: seen.update(pre=value))
    with torch.no_grad():
        z = theirs.encode(h)
        torch.testing.assert_close(ours.pre(h), seen["pre"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.encode(h), z, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.decode(z), theirs.decode(z), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(h), theirs(h), rtol=1e-5, atol=1e-5)
    assert z.any() and not z.all()


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "gated", "topk", "jumprelu"])
def test_what_sae_lens_writes_is_read_alike(architecture: str, subtracts: bool, tmp_path: Path):
    torch.manual_seed(0)
    cls, config_class = sae_lens.registry.get_sae_class(architecture)
    own = {"k": 5} if architecture == "topk" else {}
    metadata = sae_lens.saes.sae.SAEMetadata(hook_name="model.layers.1", model_name="a")
    theirs = cls(config_class(d_in=WIDTH, d_sae=D_SAE, apply_b_dec_to_input=subtracts, metadata=metadata, **own))
    for weight in theirs.parameters():  # biases and thresholds begin as zeros
        weight.data += 0.3 * torch.rand_like(weight)
    theirs.save_model(tmp_path / "theirs")
    ours = load_sparse_autoencoder(str(tmp_path / "theirs"))
    check_fits(ours, WIDTH, 1)
    h = torch.randn(100, WIDTH)
    assert_same(ours, theirs, h)
    ours.save(tmp_path / "ours")
    assert_same(ours, sae_lens.SAE.load_from_disk(tmp_path / "ours"), h)


def test_what_is_saved_as_jumprelu_is_read_alike(tmp_path: Path):
    torch.manual_seed(0)
    shared = {"d_in": WIDTH, "d_sae": D_SAE, "k": 4}
    theirs = sae_lens.MatryoshkaBatchTopKTrainingSAE(
        sae_lens.MatryoshkaBatchTopKTrainingSAEConfig(**shared, matryoshka_widths=[16, D_SAE])
    )
    theirs.topk_threshold += 0.02
    theirs.save_inference_model(tmp_path)
    ours = load_sparse_autoencoder(str(tmp_path))
    assert ours.threshold is not None and ours.threshold.tolist() == pytest.approx([0.02] * D_SAE)
    assert_same(ours, sae_lens.SAE.load_from_disk(tmp_path), torch.randn(100, WIDTH))


@every
def test_it_trains_as_sae_lens_does(architecture: str):
    """The same states in the same order, through `SAETrainer`, end in the same weights.

    Five latents are off at first, so that there are dead ones.
    """
    ours, again = build(architecture), build(architecture)
    for method in (ours, again):
        method.sae.b_enc.data[:5] = -5.0
    before = {name: tensor.clone() for name, tensor in ours.sae.state_dict().items()}
    fitted(ours)
    batches = training_states(again, STEPS)
    scale_batches = training_states(again, sae_training.SCALE_BATCHES)

    def provider() -> Iterator[Tensor]:
        yield from scale_batches
        yield from batches

    samples = sum(map(len, batches))
    settings = sae_lens.config.SAETrainerConfig(
        total_training_samples=samples,
        train_batch_size_samples=samples // STEPS,
        lr=3e-3,
        lr_end=3e-4,  # not read by the constant schedule, but wanted
        lr_warm_up_steps=2,
        lr_decay_steps=2,
        dead_feature_window=2,
        n_batches_for_norm_estimate=len(scale_batches),
    )
    theirs = again.sae
    if architecture in ("jumprelu", "standard"):
        setattr(theirs.cfg, f"{'l0' if architecture == 'jumprelu' else 'l1'}_warm_up_steps", round(0.2 * STEPS))
    runner = sae_lens.training.sae_trainer.SAETrainer(settings, theirs, provider())
    runner.fit()
    expected, found = theirs.state_dict(), ours.inference_form().state_dict()
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert name == "topk_threshold" or not torch.equal(tensor, before[name]), f"{name} has not moved"
        close = {"rtol": 1e-4, "atol": 1e-5, "check_dtype": False}
        torch.testing.assert_close(found[name], tensor, **close, msg=lambda m, n=name: f"{n}: {m}")
    assert torch.equal(ours.steps_since_on, runner.n_forward_passes_since_fired.long())
    if architecture in ("topk", "batchtopk"):
        assert ours.dead().any()  # so that the loss for dead latents took part


@every
def test_what_is_exported_reads_states_as_they_are(architecture: str, tmp_path: Path):
    method = build(architecture)
    fitted(method)
    method.export(tmp_path / "export", small_text())
    ours, theirs = load_sparse_autoencoder(str(tmp_path / "export")), sae_lens.SAE.load_from_disk(tmp_path / "export")
    h = training_states(method, 2)[1]
    assert_same(ours, theirs, h)
    held = method.autoencoder()
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in held.state_dict().items())
    assert (ours.hook_name, ours.layer, ours.model_name) == (f"model.layers.{LAYER}", LAYER, model_folder())
    assert theirs.cfg.metadata.training_architecture == architecture
    check_fits(ours, WIDTH, LAYER)
    if architecture != "batchtopk":  # its threshold takes the place of the choice within a batch
        with torch.no_grad():
            z, _ = method.sae.encode_with_hidden_pre(h * method.scale)
            expected = method.sae.decode(z) / method.scale
        torch.testing.assert_close(ours(h), expected, rtol=1e-4, atol=1e-4)
    assert float(ours.fvu(h)) < 1


def test_the_scale_gives_states_a_mean_norm_of_the_root_of_their_width(monkeypatch: pytest.MonkeyPatch):
    method = build()
    monkeypatch.setattr(sae_training, "SCALE_BATCHES", 3)
    fitted(method, steps=1)
    states = torch.cat(training_states(method, 3))
    assert float((states * method.scale).norm(dim=1).mean()) == pytest.approx(WIDTH**0.5, rel=1e-5)


def test_states_are_those_of_transformers_without_padding_and_first_tokens():
    method, batch = build(model={"path": model_folder(), "layer": 1}), small_text().train[(torch.arange(4),)]
    model, expected = load_causal_lm(model_folder()), []
    norm = model.model.norm
    for tokens, positions, labels in zip(*(batch.tokens, batch.positions, batch.labels), strict=True):
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(tokens)]
        for start, end in pairwise(starts):
            if (labels[start:end] != IGNORED).any():  # not padding
                hidden = model(tokens[None, start:end], output_hidden_states=True).hidden_states[2][0]
                expected.append(hidden[1:])  # after the norm: block 1 is the last
    torch.testing.assert_close(norm(method.states(batch)), torch.cat(expected), rtol=1e-4, atol=1e-4)
    assert len(method.states(batch)) == int((batch.labels != IGNORED).sum()) < batch.labels.numel()


def test_the_language_model_is_neither_trained_nor_saved():
    method = build()
    before = {name: tensor.clone() for name, tensor in method.truncated.body.state_dict().items()}
    run = fitted(method)
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.truncated.body.state_dict().items())
    saved = set(method.state_dict())
    assert saved == {"scale", "steps_since_on", *(f"sae.{name}" for name in ("W_enc", "b_enc", "W_dec", "b_dec"))}
    trained = {id(weight) for group in run.optimizers[0].param_groups for weight in group["params"]}
    assert trained == {id(weight) for weight in method.sae.parameters()}


def test_latents_that_were_never_on_are_counted():
    method = build()
    with torch.no_grad():
        method.sae.b_enc[:5] = -1e6
        method.sae.b_enc[5] = 1e6
    fitted(method, steps=1)
    assert method.steps_since_on[:5].tolist() == [1] * 5 and method.steps_since_on[5] == 0 and not method.dead().any()
    fitted(method, steps=2)
    assert method.steps_since_on[:5].tolist() == [3] * 5 and method.dead()[:5].all() and not method.dead()[5]


@pytest.mark.parametrize(("architecture", "name"), [("jumprelu", "l0"), ("standard", "l1")])
def test_the_weight_of_sparsity_rises_to_its_value(architecture: str, name: str, monkeypatch: pytest.MonkeyPatch):
    method = build(architecture, sparsity=2.0, sparsity_warm_up=0.5)
    found = []
    of_step = method.coefficients
    monkeypatch.setattr(method, "coefficients", lambda: found.append(of_step()) or found[-1])
    fitted(method)
    assert [value[name] for value in found] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0]


def test_without_a_rise_it_has_its_value_at_once():
    method = build("standard", sparsity_warm_up=0.0)
    fitted(method, steps=1)
    assert method.coefficients() == {"l1": 0.1} and build("topk").sae.get_coefficients() == {}


def test_what_is_logged():
    run = fitted(build(), log_every_n_steps=4)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert logged.keys() >= {"train/loss", "train/explained_variance", "train/l0", "train/dead_latents"}
    assert logged["train/l0"] == 4 and 0 < logged["train/explained_variance"] < 1
    assert logged["train/loss"] == pytest.approx(
        logged["train/mse_loss"] + logged["train/auxiliary_reconstruction_loss"], rel=1e-5
    )


class Snapshot(Callback):
    """Saves the run after a step, as a checkpoint in the middle of an epoch is saved."""

    def __init__(self, step: int, path: Path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@every
def test_it_goes_on_to_equal_bits(architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = build(architecture)
    fitted(whole, callbacks=[Snapshot(3, tmp_path / "three.ckpt")])
    resumed = build(architecture)
    monkeypatch.setattr(sae_training, "SCALE_BATCHES", 1)  # were the scale estimated anew, it would be another
    made = trainer(max_steps=STEPS)
    made.fit(resumed, datamodule=small_text(), ckpt_path=str(tmp_path / "three.ckpt"), weights_only=True)
    assert made.global_step == STEPS
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_language_model_in_half_precision_is_read_in_float32():
    method = build()
    method.truncated.body.to(torch.bfloat16)
    fitted(method)
    assert method.states(small_text().train[(torch.arange(2),)]).dtype == torch.float32
    assert {weight.dtype for weight in method.sae.parameters()} == {torch.float32}


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UserError, match=r"method.k=65: more than the 64 latents of method.d_sae"):
        build(k=65)
    with pytest.raises(UserError, match=r"model.layer=2: the model has blocks 0 to 1"):
        build(model={"path": model_folder(), "layer": 2})
    other = BiographiesText(**WORLD | {"num_people": 20}, num_documents=300, max_length=40)
    other.setup("fit")
    build().check(small_text())
    with pytest.raises(UserError, match=r"its tokenizer differs from that of the data"):
        build().check(other)


def test_the_file_describes_the_method():
    node = config.choices("method")["sae_training"]
    arguments = nodes.arguments_of(config.method_class("sae_training"))
    assert ": " in node and {"model", "architecture", "d_sae", "k"} <= set(arguments)
