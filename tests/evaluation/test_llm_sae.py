"""The suite of sparse autoencoders: perfect and useless ones, losses as transformers has them, latents by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from datamodules.llm.batches import IGNORED
from lit_unlearn.evaluation import llm_sae
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import SparseAutoencoder
from tests.anomaly_data import trainer
from tests.llm_data import LAYER, WIDTH, model_folder, small_text

STEPS = 100
"""Of the language model: it must lose something with the mean in the states' place."""


def autoencoder(keeps: float, mean: Tensor | None = None) -> SparseAutoencoder:
    """Reconstructs mean + keeps * (state - mean)."""
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    weights = {"W_enc": both.T, "W_dec": keeps * both, "b_dec": torch.zeros(WIDTH) if mean is None else mean}
    weights["b_enc"] = torch.zeros(2 * WIDTH)
    config = {"architecture": "standard", "d_in": WIDTH, "d_sae": 2 * WIDTH}
    return SparseAutoencoder(config, weights)


def method(sae: SparseAutoencoder) -> Any:
    dead = torch.arange(2 * WIDTH) < 8
    problem = {"path": model_folder(STEPS), "layer": LAYER}
    return SimpleNamespace(autoencoder=lambda: sae, problem=problem, dead=lambda: dead)


def evaluated(sae: SparseAutoencoder) -> tuple[Evaluation, dict[str, float]]:
    result = llm_sae.evaluate(method(sae), small_text(), trainer())
    return result, {f"{row.metric}/{row.split}": row.value for row in result.rows}


def general_mean() -> Tensor:
    return llm_sae.text_states(load_causal_lm(model_folder(STEPS)), LAYER, small_text().general).mean(0)


def test_a_perfect_one():
    result, values = evaluated(autoencoder(1.0))
    assert {row.suite for row in result.rows} == {"sae"}
    assert values.pop("single_latent_auroc/all") > 0
    assert values == pytest.approx(
        {
            "explained_variance/general": 1,
            "fvu/general": 0,
            "l0/general": WIDTH,
            "dead_share/all": 0.25,
            "loss_recovered/general": 1,
            "fvu/entity": 0,
        },
        abs=1e-4,
    )
    n = {f"{row.metric}/{row.split}": row.n for row in result.rows}
    entities = small_text().entities
    assert n["fvu/general"] == n["loss_recovered/general"] == int((small_text().general.labels != IGNORED).sum())
    assert n["dead_share/all"] == 2 * WIDTH and n["fvu/entity"] == sum(map(len, entities.values()))
    assert n["single_latent_auroc/all"] == len(entities["known"]) + len(entities["unknown"])
    assert result.histograms["sae/on_share"].shape == (2 * WIDTH,)


def test_one_that_gives_the_mean_explains_and_recovers_nothing():
    _, values = evaluated(autoencoder(0.0, general_mean()))
    assert values["fvu/general"] == pytest.approx(1, abs=1e-5)
    assert values["loss_recovered/general"] == pytest.approx(0, abs=1e-5)


def test_a_fifth_of_each_state_recovers_a_part():
    _, values = evaluated(autoencoder(0.2, general_mean()))
    assert values["fvu/general"] == pytest.approx(0.64, abs=1e-4)
    assert 0.05 < values["loss_recovered/general"] < 0.95


@pytest.mark.parametrize("layer", [0, 1])
def test_the_loss_is_that_of_transformers_and_only_read_tokens_are_replaced(layer: int):
    model, text = load_causal_lm(model_folder(STEPS)), small_text().general

    @torch.no_grad()
    def of_transformers() -> Tensor:
        return model(text.tokens, position_ids=text.positions, labels=text.labels, use_cache=False).loss

    loss, states = of_transformers(), llm_sae.text_states(model, layer, text)
    seen: list[Tensor] = []

    def same(states: Tensor) -> Tensor:
        seen.append(states)
        return states

    assert llm_sae.mean_loss(model, layer, text, same) == pytest.approx(float(loss), rel=1e-5)
    torch.testing.assert_close(torch.cat(seen), states, rtol=1e-5, atol=1e-5)
    assert llm_sae.mean_loss(model, layer, text, lambda states: 0 * states) > loss + 0.1
    assert torch.equal(of_transformers(), loss)  # the hook is gone


def test_no_share_of_a_loss_that_does_not_rise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llm_sae, "mean_loss", lambda *arguments: 2.0)
    result, values = evaluated(autoencoder(1.0))
    assert "loss_recovered/general" not in values
    assert any(note.startswith("loss_recovered: absent") for note in result.notes)


def test_aurocs_of_latents_with_ties():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 3, (40, 5), generator=generator).numpy()
    positive = (torch.rand(40, generator=generator) < 0.3).numpy()
    expected = [roc_auc_score(positive, codes[:, j]) for j in range(5)]
    assert llm_sae.latent_aurocs(codes, positive).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("sign", "stronger"), [(1.0, "known entities"), (-1.0, "names never seen")])
def test_the_latent_is_chosen_on_other_entities(sign: float, stronger: str, monkeypatch: pytest.MonkeyPatch):
    """Latent 1 tells the entities that it is chosen on; of those it is judged on it tells three pairs of four.

    Latent 0 would tell all of these, and none of those it is chosen on.
    """
    level = {"probe_known": [3.0, 4.0], "probe_unknown": [1.0, 2.0], "known": [2.0, 4.0], "unknown": [1.0, 3.0]}
    decoy = {"probe_known": [5.0, 5.0], "probe_unknown": [5.0, 5.0], "known": [9.0, 9.0], "unknown": [5.0, 5.0]}
    states = {group: torch.ones(2, WIDTH) for group in level}
    for group, found in states.items():
        found[:, 0], found[:, 1] = torch.tensor(decoy[group]), 5 + sign * torch.tensor(level[group])
    monkeypatch.setattr(llm_sae, "entity_states", lambda model, layer, items: states[items])
    data: Any = SimpleNamespace(entities={group: group for group in states})
    (_, row), notes = llm_sae.entity_rows(None, LAYER, autoencoder(1.0), data)
    assert (row.metric, row.value, row.n) == ("single_latent_auroc", 0.75, 4)
    assert notes == [f"single_latent_auroc: of latent 1, which is stronger on {stronger}"]


def test_states_of_entities_are_at_their_last_tokens():
    model, items = load_causal_lm(model_folder(STEPS)), small_text().entities["known"]
    found = llm_sae.entity_states(model, LAYER, items)
    with torch.no_grad():
        hidden = model(items.tokens, output_hidden_states=True).hidden_states[LAYER + 1]
    torch.testing.assert_close(found, hidden[torch.arange(len(items)), items.entity_end], rtol=1e-4, atol=1e-4)


def test_what_needs_entities_is_absent_without_them():
    data: Any = SimpleNamespace(general=small_text().general, entities={})
    result = llm_sae.evaluate(method(autoencoder(1.0)), data, trainer())
    assert not {"fvu/entity", "single_latent_auroc/all"} & {f"{row.metric}/{row.split}" for row in result.rows}
    assert any("single_latent_auroc: absent, the data set has no entities probe_known" in note for note in result.notes)
