"""Sparse autoencoders: the equations by hand, one form for all architectures, what has a gradient, files, bad input.

That sae-lens computes the same is tested with the method that trains them.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lit_unlearn.errors import UserError
from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder, check_fits, load_sparse_autoencoder

ARCHITECTURES = ("standard", "jumprelu", "gated", "topk")
D_IN, D_SAE, K = 6, 20, 3

every = pytest.mark.parametrize("architecture", ARCHITECTURES)


def config(architecture: str, **changed: Any) -> dict[str, Any]:
    metadata = {"hook_name": "model.layers.2", "model_name": "a model"}
    own = {"k": K} if architecture == "topk" else {}
    return {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, "metadata": metadata} | own | changed


def weights(architecture: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,)}
    names = {"gated": ("b_gate", "b_mag", "r_mag"), "jumprelu": ("b_enc", "threshold")}.get(architecture, ("b_enc",))
    made = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    made |= {name: torch.randn(D_SAE, generator=generator) for name in names}
    if architecture == "jumprelu":
        made["threshold"] = made["threshold"].abs()
    return made


def autoencoder(architecture: str, **changed: Any) -> SparseAutoencoder:
    return SparseAutoencoder(config(architecture, **changed), weights(architecture))


def states(n: int = 50) -> Tensor:
    return torch.randn(n, D_IN, generator=torch.Generator().manual_seed(1))


HAND = {
    "W_enc": torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]),
    "b_enc": torch.tensor([0.5, 0.0, -1.0]),
    "W_dec": torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
    "b_dec": torch.tensor([1.0, -1.0]),
}
H = torch.tensor([[3.0, 1.0]])  # without b_dec: (2, 2)


def by_hand(architecture: str, **changed: Any) -> SparseAutoencoder:
    extra = {"threshold": torch.tensor([2.5, 1.0, 0.0])} if architecture == "jumprelu" else {}
    own = {"d_in": 2, "d_sae": 3, "k": 1} if architecture == "topk" else {"d_in": 2, "d_sae": 3}
    return SparseAutoencoder(config(architecture, **own | changed), HAND | extra)


@pytest.mark.parametrize(
    ("architecture", "subtracts", "u", "z", "back"),
    [
        ("standard", True, [2.5, 2.0, 1.0], [2.5, 2.0, 1.0], [4.5, 4.0]),
        ("standard", False, [3.5, 1.0, 4.0], [3.5, 1.0, 4.0], [8.5, 5.0]),
        ("jumprelu", True, [2.5, 2.0, 1.0], [0.0, 2.0, 1.0], [2.0, 4.0]),  # 2.5 is at its threshold, not above
        ("topk", True, [2.5, 2.0, 1.0], [2.5, 0.0, 0.0], [3.5, -1.0]),
    ],
)
def test_values_by_hand(architecture: str, subtracts: bool, u: list[float], z: list[float], back: list[float]):
    sae = by_hand(architecture, apply_b_dec_to_input=subtracts)
    assert sae.pre(H).tolist() == [u]
    assert sae.encode(H).tolist() == [z] == sae.codes(torch.tensor([u])).tolist()
    assert sae.decode(torch.tensor([z])).tolist() == [back] == sae(H).tolist()


def test_a_gated_one_is_gate_times_magnitude():
    w, sae, h = weights("gated"), autoencoder("gated"), states()
    before = (h - w["b_dec"]) @ w["W_enc"]
    gate, magnitude = before + w["b_gate"], before * w["r_mag"].exp() + w["b_mag"]
    assert ((gate > 0) != (magnitude > 0)).any()
    torch.testing.assert_close(sae.pre(h), magnitude)
    torch.testing.assert_close(sae.encode(h), (gate > 0) * magnitude.relu())


def test_the_largest_are_chosen_as_if_directions_had_unit_length_where_that_was_trained():
    w, h = weights("topk"), states()
    norm = w["W_dec"].norm(dim=1)
    u = ((h - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * norm
    values, latents = u.topk(K)
    z = torch.zeros_like(u).scatter(1, latents, values.relu())
    sae = autoencoder("topk", rescale_acts_by_decoder_norm=True)
    torch.testing.assert_close(sae.encode(h), z)
    torch.testing.assert_close(sae(h), (z / norm) @ w["W_dec"] + w["b_dec"])
    assert not torch.equal(sae.encode(h) > 0, autoencoder("topk").encode(h) > 0)


def test_topk_keeps_k_and_no_negative_one():
    sae, h = autoencoder("topk"), states()
    assert (sae.encode(h) > 0).sum(1).tolist() == [K] * len(h)
    low = SparseAutoencoder(config("topk"), weights("topk") | {"b_enc": torch.full((D_SAE,), -100.0)})
    assert not low.encode(h).any()


@every
def test_thresholds_tell_what_is_on(architecture: str):
    sae, h = autoencoder(architecture), states()
    u = sae.pre(h)
    above = u >= sae.thresholds(u) if architecture == "topk" else u > sae.thresholds(u)
    on = sae.encode(h) > 0
    assert torch.equal(above & (u > 0), on) and on.any() and not on.all()
    assert (sae.threshold is None) == (architecture == "topk") == (sae.k == K)


@every
def test_what_is_off_has_a_gradient_only_before_the_activation(architecture: str):
    sae, h = autoencoder(architecture), states().requires_grad_()
    off = sae.encode(h) == 0
    assert off.any(1).all()
    through_codes = torch.autograd.grad((sae.encode(h) * off).sum(), h)[0]
    through_pre = torch.autograd.grad((sae.pre(h) * off).sum(), h)[0]
    assert not through_codes.any() and through_pre.any(1).all()
    u = sae.pre(h)
    assert not sae.thresholds(u).requires_grad


def test_fvu_of_a_perfect_dictionary_and_of_a_mean():
    h = states()
    both = {"W_enc": torch.cat([torch.eye(D_IN), -torch.eye(D_IN)], 1), "b_enc": torch.zeros(2 * D_IN)}
    perfect = both | {"W_dec": both["W_enc"].T, "b_dec": h.mean(0)}
    assert float(SparseAutoencoder(config("standard", d_sae=2 * D_IN), perfect).fvu(h)) < 1e-12
    nothing = perfect | {"W_dec": torch.zeros(2 * D_IN, D_IN)}
    mean = SparseAutoencoder(config("standard", d_sae=2 * D_IN), nothing)
    assert float(mean.fvu(h)) == pytest.approx(1, rel=1e-6)
    half = perfect | {"W_dec": 0.5 * both["W_enc"].T}
    assert float(SparseAutoencoder(config("standard", d_sae=2 * D_IN), half).fvu(h)) == pytest.approx(0.25, rel=1e-5)


@every
def test_it_is_frozen_and_stays_in_float32(architecture: str):
    given = {name: tensor.bfloat16() for name, tensor in weights(architecture).items()}
    sae, h = SparseAutoencoder(config(architecture, dtype="bfloat16"), given), states()
    assert not sae.training and not any(p.requires_grad for p in sae.parameters())
    assert {tensor.dtype for tensor in sae.state_dict().values()} == {torch.float32}
    expected = sae(h.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(sae(h.bfloat16()), expected) and expected.dtype == torch.float32


@every
def test_written_and_read_it_is_the_same_to_the_bit(architecture: str, tmp_path: Path):
    sae, h = autoencoder(architecture, apply_b_dec_to_input=False), states()
    sae.save(tmp_path / "a" / "b")
    read = load_sparse_autoencoder(str(tmp_path / "a" / "b"))
    assert sae.state_dict().keys() == read.state_dict().keys()
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in sae.state_dict().items())
    assert torch.equal(sae.pre(h), read.pre(h)) and torch.equal(sae(h), read(h))
    assert (read.hook_name, read.model_name, read.layer, read.k) == ("model.layers.2", "a model", 2, sae.k)


@pytest.mark.parametrize(
    ("hook", "layer"),
    [
        ("model.layers.12", 12),
        ("transformer.h.3", 3),
        ("gpt_neox.layers.0", 0),
        ("blocks.5.hook_resid_post", 5),
        ("blocks.5.hook_resid_pre", 4),
        ("blocks.5.hook_mlp_out", None),
        ("model.layers.12.mlp", None),
        (None, None),
    ],
)
def test_the_block_that_is_read_comes_from_the_hook(hook: str | None, layer: int | None):
    assert autoencoder("jumprelu", metadata={"hook_name": hook}).layer == layer
    assert autoencoder("jumprelu", metadata={}).hook_name == ""


def test_what_does_not_fit_the_model_is_refused():
    sae = autoencoder("jumprelu")
    check_fits(sae, D_IN, 2)
    with pytest.raises(UserError) as error:
        check_fits(sae, 7, 3)
    width, block = error.value.lines
    assert "model.layers.2 in a model" in width and "width 6" in width and "have 7" in width
    assert "block 2, model.layer=3; give model.layer=2" in block
    with pytest.raises(UserError, match=r"blocks\.5\.hook_mlp_out .* does not read the output of a block"):
        check_fits(autoencoder("topk", metadata={"hook_name": "blocks.5.hook_mlp_out"}), D_IN, 5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architecture": "transcoder"}, "architecture='transcoder' is not known here; allowed: standard, jumprelu"),
        ({"l1_coefficient": 1.0}, r"unknown keys \['l1_coefficient'\]"),
        ({"d_in": None}, r"lacks \['d_in'\]"),
        ({"k": None}, r"lacks \['k'\]"),
        ({"normalize_activations": "expected_average_only_in"}, "before the scale of its input was folded"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations='layer_norm'"),
        ({"reshape_activations": "hook_z"}, "reshape_activations='hook_z'"),
        ({"d_sae": 21}, r"W_dec \(20, 6\) for \(21, 6\)"),
        ({"architecture": "jumprelu"}, r"threshold None for \(20,\)"),
    ],
)
def test_a_kind_that_is_not_known_is_refused(changed: dict[str, Any], message: str):
    given = {key: value for key, value in (config("topk") | changed).items() if value is not None}
    with pytest.raises(UserError, match=message) as error:
        SparseAutoencoder(given, weights("topk"), "here")
    assert len(error.value.lines) == 1 and error.value.lines[0].startswith("sparse autoencoder here: ")


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; give one with cfg.json"):
        load_sparse_autoencoder(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"has no cfg.json and no sae_weights.safetensors; give a folder"):
        load_sparse_autoencoder(str(tmp_path))
    (tmp_path / "cfg.json").write_text(json.dumps(config("topk")))
    save_file(weights("topk"), tmp_path / "sae_weights.safetensors")
    whole = (tmp_path / "sae_weights.safetensors").read_bytes()
    load_sparse_autoencoder(str(tmp_path))
    (tmp_path / "sae_weights.safetensors").write_bytes(whole[:-1])
    with pytest.raises(UserError, match="cannot be read"):
        load_sparse_autoencoder(str(tmp_path))
    (tmp_path / "sae_weights.safetensors").write_bytes(whole)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        load_sparse_autoencoder(str(tmp_path))


def test_the_registry_is_asked_for_a_release(monkeypatch: pytest.MonkeyPatch):
    def from_pretrained(release: str, sae_id: str) -> Any:
        if release != "scope":
            raise ValueError(f"Release {release} not found\nand more")
        assert sae_id == "layer_2/a:b"
        cfg = SimpleNamespace(to_dict=lambda: config("jumprelu"))
        return SimpleNamespace(cfg=cfg, state_dict=lambda: weights("jumprelu"))

    fake = SimpleNamespace(SAE=SimpleNamespace(from_pretrained=from_pretrained))
    monkeypatch.setitem(sys.modules, "sae_lens", fake)
    assert torch.equal(load_sparse_autoencoder("scope:layer_2/a:b").W_enc, weights("jumprelu")["W_enc"])
    with pytest.raises(UserError, match=r"scop:x: sae-lens cannot load it \(Release scop not found\); give"):
        load_sparse_autoencoder("scop:x")
