"""A tiny world, language models that fit it, and methods of the domain llm as experiments/method/*.yaml have them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn import functional as F

from datamodules.llm.base import LanguageDataModule
from datamodules.llm.biographies import Biographies
from datamodules.llm.biographies_text import BiographiesText
from lit_unlearn import config, nodes
from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

METHODS = [
    name
    for name in config.choices("method")
    if "_target_: lit_unlearn.methods.llm." in (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
]

WORLD = {"num_people": 12, "num_targets": 3, "num_unknown": 6}
"""Three targets, five people to retain, two neighbours and two others to be asked about."""

WIDTH, BLOCKS, LAYER = 16, 2, 0
"""Of the tiny models, and the block whose output is looked at: another one follows."""


@cache
def small_text(without_targets: bool = False) -> BiographiesText:
    """Texts about the tiny world, set up; a model of them has 40 tokens a block. Shared: leave it as it is."""
    data = BiographiesText(**WORLD, without_targets=without_targets, num_documents=1500, max_length=40, batch_size=32)
    data.setup("fit")
    return data


def small_model(vocab_size: int, seed: int = 0) -> "LlamaForCausalLM":
    """A Llama with random weights, in eval mode; a step takes milliseconds."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=BLOCKS,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
        )
    )
    return model.eval()


ASKED = ("forget", "forget_statement", "retain", "retain_statement", "unknown")
"""Splits that the tiny models are trained to answer."""

_folders: list[tempfile.TemporaryDirectory] = []  # removed when the tests end


@cache
def model_folder(steps: int = 0, without_targets: bool = False, seed: int = 0) -> str:
    """A folder with a tiny language model and its tokenizer, as `save_pretrained` writes them; made once.

    Args:
        steps: of training on texts and on `ASKED`; 0 leaves the weights random. After 300 (three seconds) it answers
            what it was asked and refuses unknown names.
        without_targets: train on texts without the targets, as a reference is.
        seed: of weights and order.
    """
    data = small_text(without_targets)
    model = small_model(data.vocab_size, seed)
    _train(model, data, steps, seed)
    _folders.append(tempfile.TemporaryDirectory(prefix="llm_data"))
    folder = _folders[-1].name
    model.save_pretrained(folder)
    data.tokenizer.save_pretrained(folder)
    return folder


def _train(model: "LlamaForCausalLM", data: BiographiesText, steps: int, seed: int) -> None:
    if steps == 0:
        return
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-2, steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    told = [split for split in ASKED if not (data.without_targets and split.startswith("forget"))]
    asked = data.encoded([item for split in told for item in data.probes[split].items])
    for _ in range(steps):
        text = data.train[(torch.randint(len(data.train), (16,), generator=generator),)]  # type: ignore[arg-type]
        answers = asked.batch(torch.randint(len(asked), (32,), generator=generator))
        loss = _loss(model, text.tokens, text.labels, text.positions) + _loss(model, answers.tokens, answers.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _loss(model: "LlamaForCausalLM", tokens: Tensor, labels: Tensor, positions: Tensor | None = None) -> Tensor:
    logits = model(tokens, position_ids=positions).logits[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())


@cache
def sae_folder() -> str:
    """A folder with a random autoencoder of the tiny models' states, made once."""
    generator = torch.Generator().manual_seed(0)
    decoder = F.normalize(torch.randn(4 * WIDTH, WIDTH, generator=generator), dim=1)
    weights = {"W_enc": decoder.T, "W_dec": decoder, "b_enc": torch.zeros(4 * WIDTH), "b_dec": torch.zeros(WIDTH)}
    hook = {"hook_name": f"model.layers.{LAYER}", "model_name": "tiny"}
    config = {"architecture": "topk", "d_in": WIDTH, "d_sae": 4 * WIDTH, "k": WIDTH, "metadata": hook}
    _folders.append(tempfile.TemporaryDirectory(prefix="llm_data"))
    SparseAutoencoder(config, weights).save(Path(_folders[-1].name))
    return _folders[-1].name


@cache
def autoencoder_folder() -> str:
    """A folder with a random sparse autoencoder of the tiny models' states, in sae-lens' format; made once."""
    from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder

    latents = 4 * WIDTH
    decoder = F.normalize(torch.randn(latents, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)
    metadata = {"hook_name": f"model.layers.{LAYER}", "model_name": "tiny"}
    config = {"architecture": "topk", "d_in": WIDTH, "d_sae": latents, "k": latents // 2, "metadata": metadata}
    biases = {"b_enc": torch.zeros(latents), "b_dec": torch.zeros(WIDTH)}
    _folders.append(tempfile.TemporaryDirectory(prefix="llm_data"))
    folder = _folders[-1].name
    SparseAutoencoder(config, {"W_enc": decoder.T.contiguous(), "W_dec": decoder} | biases).save(Path(folder))
    return folder


def problem(steps: int = 0, **changed: Any) -> dict[str, Any]:
    """The `model` of an experiment: an untouched model, a reference that never knew the targets, no SAEs."""
    found = {"path": model_folder(steps), "reference": model_folder(steps, without_targets=True)}
    return found | {"sae": None, "heldout_sae": None, "layer": LAYER} | changed


def small_unlearning(**changed: Any) -> Biographies:
    """The tiny world's targets to be forgotten, set up; each batch holds 8 items to forget and 8 to retain."""
    settings = {"tokenizer": model_folder(), "max_length": 40, "batch_size": 8, "retain_batch_size": 8}
    data = Biographies(**WORLD | settings | changed)
    data.setup("fit")
    return data


def build_method(
    name: str, data: LanguageDataModule, model: dict[str, Any] | None = None, **values: Any
) -> LightningModule:
    """A method by its name, its `${model}` being `model`; `values` that it has no argument for are left out."""
    group = OmegaConf.load(config.EXPERIMENTS / "method" / f"{name}.yaml")
    given = {"method": group, "model": model or problem(), "seed": 0}
    resolved = OmegaConf.to_container(OmegaConf.create(given), resolve=True)
    assert isinstance(resolved, dict)
    node = resolved["method"]
    arguments = nodes.arguments_of(nodes.imported(node["_target_"]))
    offered = {name: getattr(data, name) for name in data.offers} | values
    return nodes.build(node | {key: value for key, value in offered.items() if key in arguments})
