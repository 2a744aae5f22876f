"""What a model shows inside: states, latents, probes, against a plain computation of the same."""

import pytest
import torch

from datamodules.llm.items import EncodedItems, Item
from lit_unlearn.evaluation import llm_behaviour, llm_latents, llm_representation, llm_states
from lit_unlearn.evaluation.llm_asking import entity_numbers, template
from lit_unlearn.evaluation.llm_states import spaces, text_codes
from lit_unlearn.metrics.latents import firing_rates
from lit_unlearn.networks.sparse_autoencoder import load_sparse_autoencoder
from tests.evaluation.llm_models import data as data, taught as taught
from tests.llm_data import BLOCKS, LAYER, sae_folder


@torch.no_grad()
def test_states_are_read_where_they_belong(data, taught, monkeypatch: pytest.MonkeyPatch):
    items = data.encoded([*data.entities["target"].items[:5], *data.probes["unknown"].items[:6]])
    assert len(items.entity_end.unique()) > 1 and len(items.prompt_end.unique()) > 1
    monkeypatch.setattr(llm_states, "ROWS_AT_ONCE", 4)
    sae = load_sparse_autoencoder(sae_folder())
    found = spaces(taught, items, range(BLOCKS), LAYER, {"sae": sae})
    assert list(found) == ["raw", "sae", "raw_end", "sae_end", "raw_block1", "raw_block1_end"]
    for i in range(len(items)):
        states = taught(items.tokens[i : i + 1, : items.lengths[i]], output_hidden_states=True).hidden_states
        for suffix, at in (("", items.entity_end[i]), ("_end", items.prompt_end[i])):
            home = states[LAYER + 1][0, at]
            torch.testing.assert_close(found["raw" + suffix][i], home, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found["sae" + suffix][i], sae.encode(home), rtol=1e-4, atol=1e-4)
            normed = taught.model.norm(found["raw_block1" + suffix][i])  # transformers has the last after the norm
            torch.testing.assert_close(normed, states[-1][0, at], rtol=1e-4, atol=1e-5)


def test_codes_of_text_leave_out_padding_and_first_tokens(data, taught):
    codes = text_codes(taught, data.general, LAYER, load_sparse_autoencoder(sae_folder()))
    assert len(codes) == (data.general.labels >= 0).sum() == len(llm_behaviour.text_log_probs(taught, data.general))


def test_an_item_about_nobody_stands_for_itself():
    items = [Item("a", "b"), Item("who is X", "b", "X"), Item("a", "b"), Item("what is X", "c", "X")]
    assert entity_numbers(items)[1] == entity_numbers(items)[3] and len(set(entity_numbers(items))) == 3


def test_latents_are_chosen_on_entities_that_nobody_is_judged_by(data):
    """Latent 0 fires on the known, 1 on the unknown, 2 as 0 but on all text, 3 on the known in all prompts but one."""
    prompts = [template(item) for item in data.entities["probe_known"].items]
    known, unknown = (torch.zeros(len(data.entities[group]), 4) for group in ("probe_known", "probe_unknown"))
    known[:, [0, 2]] = unknown[:, 1] = 1
    known[[prompt != prompts[0] for prompt in prompts], 3] = 1
    text = torch.zeros(100, 4)
    text[:, 2] = 1
    groups = {"probe_known": {"sae": known}, "probe_unknown": {"sae": unknown}}
    chosen = llm_latents.choose_latents(groups, data.entities, "sae", text)
    assert (chosen.known.which.tolist(), chosen.unknown.which.tolist()) == ([0], [1])
    groups |= {"target": {"sae": known[:2]}, "unknown": {"sae": unknown}}
    numbers, _ = llm_latents.firing(groups, {"sae": chosen})
    assert {name.metric: (n.value, n.target) for name, n in numbers.items()} == {
        "firing_known_latents": (1, 0),
        "firing_unknown_latents": (0, 1),
    }
    table = llm_latents.table({"sae": chosen}, groups, {"target": {"sae": unknown[:4]}})
    assert table.head[2:] == ["latent", "score", "general text", "known", "unknown", "target", "target now"]
    assert table.lines == [["sae", "known", 0, 1, 0, 1, 0, 1, 0], ["sae", "unknown", 1, 1, 0, 0, 1, 0, 1]]
    nothing = llm_latents.choose_latents(groups, data.entities, "sae", torch.ones(9, 4))
    assert llm_latents.firing(groups, {"sae": nothing})[0] == {}
    assert len(llm_latents.firing(groups, {"sae": nothing})[1]) == 2


def test_targets_against_unknown_names_by_hand():
    """Six targets a little to one side of eight unknown names; people to be kept are far on the other."""
    generator = torch.Generator().manual_seed(0)

    def group(prefix: str, count: int, place: float) -> tuple[EncodedItems, dict[str, torch.Tensor]]:
        items = [Item(f"who is {prefix}{i}", "x", f"{prefix}{i}") for i in range(count) for _ in "ab"]
        states = 0.1 * torch.randn(2 * count, 3, generator=generator)
        states[:, 0] += place
        return EncodedItems(items, [[0, 1]] * 2 * count, [0] * 2 * count, [0] * 2 * count), {"raw": states}

    places = {"target": (6, -2.0), "unknown": (8, -1.0), "known": (5, 1.0)}
    places |= {"probe_known": (9, 1.0), "probe_unknown": (9, -1.0)}
    items, groups = {}, {}
    for name, (count, place) in places.items():
        items[name], groups[name] = group(name, count, place)
    probes = llm_representation.fit_probes(groups)
    numbers, notes = llm_representation.representation(groups, items, probes, forgetting=True)
    found = {name.metric: number for name, number in numbers.items()}
    assert {name: (number.value, number.n) for name, number in found.items() if name != "mmd_vs_unknown"} == {
        "probe_auroc_vs_unknown": (0, 28),  # they look more unknown than the unknown
        "known_probe_auroc_vs_unknown": (1, 26),
        "direct_probe_auroc": (1, 28),  # and can be told by it
        "ks_vs_unknown": (1, 28),
    }
    assert found["mmd_vs_unknown"].value > 0.5
    assert [found[metric].target for metric in ("probe_auroc_vs_unknown", "direct_probe_auroc")] == [0.5, 0.5]
    assert {note.split(":")[0] for note in notes} == {
        "ks_vs_unknown, permutation p by entities",
        "mmd_vs_unknown, permutation p by entities",
    }
    alone, no_notes = llm_representation.representation(groups, items, probes, forgetting=False)
    assert {name.metric for name in alone} == {"probe_auroc_vs_unknown", "known_probe_auroc_vs_unknown"}
    assert no_notes == [] and next(iter(alone.values())).target is None


def test_a_share_of_the_firing_is_that_of_the_chosen(data):
    """`firing_rates` over chosen latents, not over all."""
    z = torch.tensor([[1.0, 0, 0], [1.0, 1.0, 0]])
    chosen = llm_latents.Chosen(*(llm_latents.Latents(torch.tensor(j), *torch.zeros(2, len(j))) for j in ([0], [1, 2])))
    groups = {"target": {"sae": z}, "unknown": {"sae": torch.zeros(1, 3)}}
    numbers, _ = llm_latents.firing(groups, {"sae": chosen})
    assert [n.value for n in numbers.values()] == [1, 0.25] and firing_rates(z).tolist() == [1, 0.5, 0]
