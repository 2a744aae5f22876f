"""Sparse autoencoders of a language model's states, for inference, in the format of sae-lens.

All architectures are brought into one form. With h a state, and c = b_dec or 0 as the configuration has it:

    (1)  u = (h - c) W_enc + b_enc              pre-activations
    (2)  z_j = relu(u_j) 1[u_j > tau_j]         codes
    (3)  h' = z W_dec + b_dec                   reconstruction

`standard` has tau = 0 and `jumprelu` its learnt thresholds (Rajamanoharan et al., arXiv 2407.14435); `batchtopk` and
`matryoshka_batchtopk` are saved as the latter. `gated` with tied weights is the same with
tau_j = b_mag_j - b_gate_j exp(r_mag_j) (Rajamanoharan et al., arXiv 2404.16014, appendix on JumpReLU). `topk` keeps the
k largest pre-activations of a state (Gao et al., arXiv 2406.04093).

The gradient of z_j is 0 wherever the latent is off: an objective that is to switch latents on must read u.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lit_unlearn.errors import UserError

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"

SHARED = {"W_enc", "W_dec", "b_dec"}
TENSORS = {
    "standard": SHARED | {"b_enc"},
    "jumprelu": SHARED | {"b_enc", "threshold"},
    "gated": SHARED | {"b_gate", "b_mag", "r_mag"},
    "topk": SHARED | {"b_enc"},
}
KEYS = {
    *("architecture", "d_in", "d_sae", "dtype", "device", "metadata"),
    *("apply_b_dec_to_input", "normalize_activations", "reshape_activations"),
    *("k", "rescale_acts_by_decoder_norm"),
}

BLOCK_HOOKS = (  # where a hook reads, and the block whose output that is, relative to the number in its name
    (re.compile(r"(?:\w+\.)*(?:layers|h)\.(\d+)"), 0),
    (re.compile(r"blocks\.(\d+)\.hook_(?:resid_post|out)"), 0),
    (re.compile(r"blocks\.(\d+)\.hook_(?:resid_pre|in)"), -1),
)


class SparseAutoencoder(nn.Module):
    """A frozen sparse autoencoder in float32, equations (1) to (3).

    Attributes:
        d_in, d_sae: width of the states, number of latents.
        threshold: (d_sae,) tau; None for topk.
        k: latents of a state that may be on; None for all but topk.
        hook_name: what it reads, as sae-lens names it: a module of transformers or a hook of TransformerLens.
        layer: the block whose output that is, from 0; None where it is something else.
        model_name: the language model whose states it was trained on.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    threshold: Tensor | None

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor], source: str = "given"):
        """
        Args:
            config: what sae-lens writes into cfg.json; at least `architecture`, `d_in`, `d_sae`, and `k` for topk.
            weights: the tensors of sae_weights.safetensors.
            source: where they come from, for errors.

        Raises:
            UserError: an architecture, a key or a normalisation that is not known here, or tensors that do not fit.
        """
        super().__init__()
        _check(config, weights, source)
        self.metadata = dict(config.get("metadata", {}))
        self.d_in, self.d_sae = config["d_in"], config["d_sae"]
        self.k: int | None = config["k"] if config["architecture"] == "topk" else None
        self.subtracts_b_dec: bool = config.get("apply_b_dec_to_input", True)
        for name, tensor in _one_form(config, weights).items():
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        if self.k is not None:
            self.register_parameter("threshold", None)
        self.eval()

    @property
    def hook_name(self) -> str:
        return self.metadata.get("hook_name") or ""

    @property
    def model_name(self) -> str:
        return self.metadata.get("model_name") or ""

    @property
    def layer(self) -> int | None:
        found = ((pattern.fullmatch(self.hook_name), shift) for pattern, shift in BLOCK_HOOKS)
        return next((int(match[1]) + shift for match, shift in found if match), None)

    def pre(self, h: Tensor) -> Tensor:
        """(..., d_in) states to (..., d_sae) pre-activations, equation (1), differentiable everywhere."""
        with torch.autocast(h.device.type, enabled=False):  # half precision spoils a sparse autoencoder
            h = h.to(self.W_enc.dtype)
            return (h - self.b_dec if self.subtracts_b_dec else h) @ self.W_enc + self.b_enc

    def codes(self, u: Tensor) -> Tensor:
        """(..., d_sae) pre-activations to codes, equation (2); the gradient of what is off is 0."""
        if self.threshold is not None:
            return u.relu() * (u > self.threshold)
        assert self.k is not None
        values, latents = u.topk(self.k, sorted=False)
        return torch.zeros_like(u).scatter(-1, latents, values.relu())

    def thresholds(self, u: Tensor) -> Tensor:
        """What a pre-activation must exceed for its latent to be on.

        Args:
            u: (..., d_sae) pre-activations.

        Returns:
            (d_sae,) tau; for topk (..., 1), the state's k-th largest pre-activation, no gradient, at least 0, which the
            latents that are on reach or exceed.
        """
        if self.threshold is not None:
            return self.threshold
        assert self.k is not None
        return u.detach().topk(self.k).values[..., -1:].relu()

    def encode(self, h: Tensor) -> Tensor:
        """(..., d_in) states to (..., d_sae) codes."""
        return self.codes(self.pre(h))

    def decode(self, z: Tensor) -> Tensor:
        """(..., d_sae) codes to (..., d_in) states, equation (3)."""
        with torch.autocast(z.device.type, enabled=False):
            return z.to(self.W_dec.dtype) @ self.W_dec + self.b_dec

    def forward(self, h: Tensor) -> Tensor:
        """(..., d_in) states to their reconstructions."""
        return self.decode(self.encode(h))

    def fvu(self, h: Tensor) -> Tensor:
        """() fraction of the variance of (N, d_in) states that their reconstructions leave unexplained.

        sum |h - h'|^2 / sum |h - mean h|^2: 0 is perfect, 1 no better than the mean. NaN where all states are equal.
        """
        h = h.to(self.W_enc.dtype)
        return (h - self(h)).square().sum() / (h - h.mean(0)).square().sum()

    def save(self, folder: Path) -> None:
        """Writes the autoencoder into a folder, to be read again here or by `sae_lens.SAE.load_from_disk`."""
        config = {
            "architecture": "jumprelu" if self.k is None else "topk",
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.subtracts_b_dec,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": self.metadata,
        } | ({} if self.k is None else {"k": self.k})
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(config))
        save_file({name: tensor.cpu().contiguous() for name, tensor in self.state_dict().items()}, folder / WEIGHTS)


def load_sparse_autoencoder(source: str) -> SparseAutoencoder:
    """A sparse autoencoder from a folder, or from the registry of sae-lens (which downloads it once).

    Args:
        source: a folder with cfg.json and sae_weights.safetensors, or RELEASE:SAE_ID, such as
            gemma-scope-2b-pt-res-canonical:layer_12/width_16k/canonical.

    Raises:
        UserError: there is none, it cannot be read, or it is of a kind that is not known here.
    """
    if Path(source).is_dir():
        return SparseAutoencoder(*_from_folder(Path(source)), source)
    if ":" in source:
        return SparseAutoencoder(*_from_registry(*source.split(":", 1)), source)
    raise UserError(
        f"sparse autoencoder {source}: no such folder; give one with {CONFIG} and {WEIGHTS}, "
        "or RELEASE:SAE_ID of sae-lens' registry"
    )


def check_fits(sae: SparseAutoencoder, model_width: int, layer: int) -> None:
    """That an autoencoder reads the output of a block of a language model.

    Args:
        sae: to be checked.
        model_width: width of the model's residual stream.
        layer: the block, from 0.

    Raises:
        UserError: it reads states of another width, of another block, or something else.
    """
    name = f"the sparse autoencoder of {sae.hook_name or 'an unnamed hook'} in {sae.model_name or 'an unnamed model'}"
    lines = []
    if sae.d_in != model_width:
        lines.append(
            f"{name} reads states of width {sae.d_in}, the model's have {model_width}; give one trained on this model "
            "(experiment=sae_training/... makes one)"
        )
    if sae.layer is None:
        lines.append(f"{name} does not read the output of a block; give one of a residual stream")
    elif sae.layer != layer:
        lines.append(f"{name} reads the output of block {sae.layer}, model.layer={layer}; give model.layer={sae.layer}")
    if lines:
        raise UserError(lines)


def _from_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    absent = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent:
        raise UserError(
            f"sparse autoencoder {folder}: has no {' and no '.join(absent)}; give a folder that sae-lens or "
            "experiment=sae_training/... wrote"
        )
    try:
        config = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError, OSError) as error:
        raise UserError(f"sparse autoencoder {folder}: cannot be read ({error}); write it anew") from error
    return config, weights


def _from_registry(release: str, sae_id: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from sae_lens import SAE  # takes ten seconds

    try:
        sae = SAE.from_pretrained(release, sae_id)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"sparse autoencoder {release}:{sae_id}: sae-lens cannot load it ({reason}); "
            "give RELEASE:SAE_ID of its registry, or a folder"
        ) from error
    return sae.cfg.to_dict(), sae.state_dict()


def _check(config: Mapping[str, Any], weights: Mapping[str, Tensor], source: str) -> None:
    """Raises UserError unless this is an inference model of a known kind with the tensors that belong to it."""
    what = f"sparse autoencoder {source}"
    architecture = config.get("architecture")
    if architecture not in TENSORS:
        raise UserError(f"{what}: architecture={architecture!r} is not known here; allowed: {', '.join(TENSORS)}")
    unknown, absent = sorted(set(config) - KEYS), sorted({"d_in", "d_sae"} - set(config))
    if architecture == "topk" and "k" not in config:
        absent.append("k")
    if unknown or absent:
        raise UserError(
            f"{what}: {CONFIG} has unknown keys {unknown} and lacks {absent}; write it with save_inference_model of "
            "sae-lens 6"
        )
    normalisation = config.get("normalize_activations", "none")
    if normalisation == "expected_average_only_in":
        raise UserError(
            f"{what}: was saved before the scale of its input was folded into its weights, and does not say it; call "
            "fold_activation_norm_scaling_factor of sae-lens before saving"
        )
    if normalisation != "none" or config.get("reshape_activations", "none") != "none":
        raise UserError(
            f"{what}: normalize_activations={normalisation!r}, reshape_activations="
            f"{config.get('reshape_activations', 'none')!r} are not known here; give one with none of both"
        )
    d_in, d_sae = config["d_in"], config["d_sae"]
    shapes = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    expected = {name: shapes.get(name, (d_sae,)) for name in TENSORS[architecture]}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if found != expected:
        wrong = sorted(name for name in found.keys() | expected if found.get(name) != expected.get(name))
        pairs = ", ".join(f"{name} {found.get(name)} for {expected.get(name)}" for name in wrong)
        raise UserError(f"{what}: its tensors do not fit its {CONFIG} ({pairs}); write it anew")


def _one_form(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """W_enc, b_enc, W_dec, b_dec of equations (1) and (3), and threshold where it is one of (2), as float32 copies."""
    own = {name: tensor.detach().float().clone() for name, tensor in weights.items()}
    if config["architecture"] == "gated":
        magnitude, gate = own.pop("r_mag").exp(), own.pop("b_gate")
        own["W_enc"], own["b_enc"] = own["W_enc"] * magnitude, own.pop("b_mag")
        own["threshold"] = (own["b_enc"] - gate * magnitude).relu()
    elif config["architecture"] == "standard":
        own["threshold"] = torch.zeros_like(own["b_enc"])
    if config.get("rescale_acts_by_decoder_norm", False):  # topk: the largest are chosen as if W_dec had unit rows
        norm = own["W_dec"].norm(dim=-1)
        own["W_enc"], own["b_enc"] = own["W_enc"] * norm, own["b_enc"] * norm
        own["W_dec"] = own["W_dec"] / norm[:, None]
    return own
