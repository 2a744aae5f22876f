"""The suite of language models: each step against a plain computation of the same, then the whole."""

import csv
import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from datamodules.llm.items import REFUSAL, EncodedItems, Item
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import llm, llm_behaviour, llm_latents, llm_representation, llm_sae, llm_states
from lit_unlearn.evaluation.llm_asking import NUM_WRONG, WrongAnswers, entity_numbers, questions, template
from lit_unlearn.evaluation.llm_behaviour import judge
from lit_unlearn.evaluation.llm_rows import Name
from lit_unlearn.evaluation.llm_states import spaces, text_codes
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.knownness import fit_probe, mean_interval, separation
from lit_unlearn.metrics.latents import firing_rates
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import load_sparse_autoencoder
from lit_unlearn.report import Row
from tests.anomaly_data import trainer
from tests.llm_data import BLOCKS, LAYER, model_folder, problem, sae_folder, small_model, small_text, small_unlearning

STEPS = 300


class Judged(LightningModule):
    """A method that hands over a given model."""

    def __init__(self, model: Any, problem: dict[str, Any] | None):
        super().__init__()
        self.model, self.problem = model, problem

    def unlearned(self) -> Any:
        return self.model.eval()


@pytest.fixture(scope="module")
def data():
    return small_unlearning()


@pytest.fixture(scope="module")
def taught():
    """A model that answers what `llm_data.ASKED` names, and little else."""
    return load_causal_lm(model_folder(STEPS))


@pytest.fixture(scope="module")
def forgetful(data) -> Evaluation:
    """A random model in the place of one that was to forget, beside one that knows; the reference is random, too."""
    judged = small_model(len(data.tokenizer), seed=1)
    problem = {"path": model_folder(STEPS), "reference": model_folder(), "layer": LAYER}
    return llm.evaluate(Judged(judged, problem | {"sae": sae_folder(), "heldout_sae": sae_folder()}), data, trainer())


@pytest.fixture(scope="module")
def untouched(data) -> Evaluation:
    """A model from which nothing was forgotten."""
    untouched = problem(reference=None) | {"path": model_folder(STEPS)}
    return llm.evaluate(Judged(load_causal_lm(untouched["path"]), untouched), data, trainer())


def rows_of(result: Evaluation) -> dict[str, Row]:
    return {row.name: row for row in result.rows}


# What a model says


@torch.no_grad()
def test_an_answer_is_right_where_greedy_decoding_gives_it(data, taught):
    for split, rates in (("forget", (0.9, 1)), ("forget_paraphrase", (0.1, 0.9)), ("neighbour_statement", (0, 0.5))):
        items = data.probes[split]
        exact = judge(taught, items).exact
        assert rates[0] <= exact.mean() <= rates[1]
        for i in range(len(items)):
            tokens, end = items.tokens[i : i + 1], int(items.prompt_end[i]) + 1
            answer = tokens[0, end : items.lengths[i]]
            prompt = tokens[:, :end]
            options = {"max_new_tokens": len(answer), "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
            written = taught.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[0, end:]
            assert exact[i] == torch.equal(written, answer), items.items[i]


@torch.no_grad()
def test_judging_in_batches_is_judging_one_by_one(data, taught, monkeypatch: pytest.MonkeyPatch):
    items = data.encoded([*data.probes["unknown"].items[:9], *data.probes["forget_statement"].items[:9]])
    assert len(items.lengths.unique()) > 3
    monkeypatch.setattr(llm_behaviour, "ROWS_AT_ONCE", 7)
    judged = judge(taught, items)
    for i in range(len(items)):
        ids, start = items.tokens[i, : items.lengths[i]], int(items.prompt_end[i])
        log_probs = taught(ids[None]).logits[0, start:-1].log_softmax(-1)
        answer = ids[start + 1 :]
        assert judged.log_prob[i] == pytest.approx(log_probs[range(len(answer)), answer].mean().item(), abs=1e-5)
        assert judged.exact[i] == bool((log_probs.argmax(-1) == answer).all())
        assert judged.first[i] == log_probs[0].argmax()
    some = judge(taught, items, torch.tensor([11, 2, 5]))
    assert some.log_prob == pytest.approx(judged.log_prob[[11, 2, 5]], abs=1e-5)


def test_refusals_are_read_to_their_end(data, taught):
    """What begins like a refusal may go on otherwise; what begins otherwise is none."""
    asked = questions(data)
    unknown = data.probes["unknown"].items
    longer = data.encoded([Item(item.prompt, "I do not know. By trade", item.entity) for item in unknown])
    first = judge(taught, data.probes["unknown"]).first
    assert judge(taught, data.probes["unknown"]).exact.sum() > 10
    assert llm_behaviour._refused(taught, longer, first).sum() == 0
    for split, refusals in asked.refusals.items():
        first = judge(taught, asked.probes[split]).first
        assert (llm_behaviour._refused(taught, refusals, first) == judge(taught, refusals).exact).all(), split


def test_wrong_answers_are_others_to_the_same_prompt(data):
    asked = questions(data)
    found = {(template(item), item.answer) for items in asked.probes.values() for item in items.items}
    assert asked.wrong.keys() == {"forget", "retain", "neighbour"}
    for split, wrong in asked.wrong.items():
        own = asked.probes[split].items
        for item, row in zip(wrong.items.items, wrong.row, strict=True):
            assert item.prompt == own[row].prompt and item.answer not in (own[row].answer, REFUSAL)
            assert (template(item), item.answer) in found
        counts = np.bincount(wrong.row)
        assert counts.max() <= NUM_WRONG and (wrong.column < counts[wrong.row]).all()
    again = questions(data).wrong["forget"].items.items
    assert [item.answer for item in again] == [item.answer for item in asked.wrong["forget"].items.items]


def test_truth_ratio_by_hand(data, taught):
    numbers, notes = llm_behaviour.behaviour(taught, questions(data), forgetting=True)
    assert not [note for note in notes if "truth_ratio" in note]
    for split in ("forget", "retain"):
        wrong = questions(data).wrong[split]
        right = judge(taught, data.probes[split]).log_prob
        losses = judge(taught, wrong.items).log_prob
        ratios = [np.exp(losses[wrong.row == i].mean() - right[i]) for i in np.unique(wrong.row)]
        by_hand = [min(r, 1 / r) if split == "forget" else max(0, 1 - r) for r in ratios]
        number = numbers[Name("behaviour", "truth_ratio", split)]
        assert (number.value, number.n) == (pytest.approx(np.mean(by_hand), rel=1e-9), len(by_hand))


def test_the_interval_of_a_truth_ratio_is_that_of_its_entities(data, taught):
    """Wrong answers to two items about one target and to one about another."""
    items, rows = data.probes["forget"], np.array([7, 8, 13])
    swapped = [replace(items.items[row], answer=items.items[0].answer) for row in rows]
    wrong = WrongAnswers(data.encoded(swapped), rows, np.zeros(3, dtype=int))
    asked = questions(data)._replace(wrong={"forget": wrong})
    number = llm_behaviour.behaviour(taught, asked, forgetting=True)[0][Name("behaviour", "truth_ratio", "forget")]
    log_ratio = judge(taught, wrong.items).log_prob - judge(taught, items).log_prob[rows]
    expected = mean_interval(np.exp(-np.abs(log_ratio)), np.array([0, 0, 1]))
    assert (number.n, number.ci95) == (3, pytest.approx(expected, rel=1e-6))
    assert expected[0] < expected[1]


def test_perplexity_is_that_of_every_document_by_itself(data, taught):
    documents, losses = [], []
    for tokens, labels, positions in zip(*data.general, strict=True):
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(tokens)]
        spans = [slice(*ends) for ends in pairwise(starts)]
        documents += [tokens[span] for span in spans if (labels[span] >= 0).any()]
    with torch.no_grad():
        for ids in documents[:40]:
            log_probs = taught(ids[None]).logits[0, :-1].log_softmax(-1)
            losses.append(-log_probs[range(len(ids) - 1), ids[1:]])
    some = torch.cat(losses)
    assert -llm_behaviour.text_log_probs(taught, data.general)[: len(some)] == pytest.approx(some.numpy(), abs=1e-4)


def test_a_perplexity_beyond_numbers_is_absent(data, taught, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llm_behaviour, "text_log_probs", lambda *_: torch.tensor([-1e4]))
    numbers, notes = llm_behaviour._utility(taught, data.general)
    assert numbers == {} and notes == ["perplexity: absent, too large for a number (loss 10000 a token)"]


# What a model shows inside


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


# The whole


def test_rows_are_those_that_others_read(forgetful: Evaluation):
    rows = rows_of(forgetful)
    forms = ("", "_statement", "_paraphrase", "_statement_paraphrase", "_reverse")
    asked = [group + form for group in ("forget", "retain", "neighbour") for form in forms] + ["neighbour_shown"]
    expected = [f"behaviour/{metric}/{split}" for metric in ("accuracy", "probability") for split in asked]
    expected += [f"behaviour/refusal/{split}" for split in ("forget", "retain", "neighbour", "unknown")]
    expected += [f"behaviour/truth_ratio/{split}" for split in ("forget", "retain", "neighbour")]
    at_home = [space + end for space in ("raw", "sae", "heldout_sae") for end in ("", "_end")]
    everywhere = [*at_home, "raw_block1", "raw_block1_end"]
    compared = [f"{prefix}probe_auroc_vs_unknown" for prefix in ("", "neighbour_", "known_")]
    compared += ["ks_vs_unknown", "mmd_vs_unknown"]
    expected += [f"representation/{metric}/{space}" for metric in compared for space in everywhere]
    expected += [f"representation/fvu/{space}" for space in at_home if "raw" not in space]
    firing = {f"representation/firing_{s}_latents/{a}" for s in ("known", "unknown") for a in ("sae", "heldout_sae")}
    assert rows.keys() - firing == {*expected, "utility/perplexity/general"}
    absent = [note for note in forgetful.notes if "latents" in note and "absent" in note]
    assert len(rows.keys() & firing) + len(absent) == 4
    assert next(iter(rows)) == "behaviour/accuracy/forget"
    json.dumps([asdict(row) for row in forgetful.rows], allow_nan=False)


def test_what_is_absent_is_said(forgetful: Evaluation):
    assert "direct_probe_auroc: absent, fewer than 5 targets or unknown names" in forgetful.notes
    assert not [row for row in forgetful.rows if row.metric == "direct_probe_auroc"]


def test_a_model_stands_beside_the_untouched_one_and_the_reference(forgetful: Evaluation):
    rows = rows_of(forgetful)
    statement = rows["behaviour/accuracy/forget_statement"]
    assert statement.before > 0.5 and statement.value == statement.reference == 0
    assert (statement.better, rows["behaviour/accuracy/retain"].better) == ("lower", "higher")
    refusal = rows["behaviour/refusal/unknown"]
    assert refusal.before > 0.5 and refusal.value == refusal.reference == 0
    assert rows["utility/perplexity/general"].before < 40 < rows["utility/perplexity/general"].value
    probe = rows["representation/probe_auroc_vs_unknown/raw"]
    assert (probe.better, probe.target, probe.reference is None) == ("target", 0.5, False)
    assert rows["representation/fvu/sae"].before is not None
    assert not [row.name for row in forgetful.rows if "sae" in row.split and row.reference is not None]


def test_where_nothing_was_forgotten_everything_is_as_before(untouched: Evaluation):
    for row in untouched.rows:
        assert row.value == row.before, row.name
        assert row.reference is None


def test_the_probe_is_the_untouched_models_and_the_reference_has_its_own(forgetful: Evaluation, data):
    def read(model: Any, group: str) -> np.ndarray:
        return spaces(model, data.entities[group], [LAYER], LAYER, {})["raw_end"].numpy()

    def auroc(judged: Any, taught_by: Any) -> float:
        probe = fit_probe(read(taught_by, "probe_known"), read(taught_by, "probe_unknown"))
        logits = {group: probe.logits(read(judged, group)) for group in ("target", "unknown")}
        entities = (entity_numbers(data.entities[group].items) for group in ("target", "unknown"))
        return separation(*logits.values(), *entities).auroc

    row = rows_of(forgetful)["representation/probe_auroc_vs_unknown/raw_end"]
    before, reference = load_causal_lm(model_folder(STEPS)), load_causal_lm(model_folder())
    now = small_model(len(data.tokenizer), seed=1)
    expected = auroc(now, before), auroc(before, before), auroc(reference, reference)
    assert (row.value, row.before, row.reference) == pytest.approx(expected, abs=0.01)
    assert auroc(now, now) != pytest.approx(row.value, abs=0.01)


def test_what_autoencoders_miss_is_in_units_of_all_entities(forgetful: Evaluation, data):
    """The targets' own variance would say little: they look alike to a model, which is what is wanted of it."""
    untouched, sae = load_causal_lm(model_folder(STEPS)), load_sparse_autoencoder(sae_folder())
    for end in ("", "_end"):
        of = {
            group: spaces(untouched, items, [LAYER], LAYER, {})["raw" + end] for group, items in data.entities.items()
        }
        variance = torch.cat(list(of.values())).var(0, correction=0).sum()
        missed = (of["target"] - sae(of["target"])).square().sum(1).mean()
        row = rows_of(forgetful)[f"representation/fvu/sae{end}"]
        assert row.before == pytest.approx(float(missed / variance), rel=1e-3)
        now = small_model(len(data.tokenizer), seed=1)
        target = spaces(now, data.entities["target"], [LAYER], LAYER, {})["raw" + end]
        missed = (target - sae(target)).square().sum(1).mean()
        assert row.value == pytest.approx(float(missed / variance), rel=1e-3)


def test_evaluation_leaves_everything_as_it_found_it(data):
    model = small_model(len(data.tokenizer))
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    result = llm.evaluate(Judged(model, problem(reference=None)), data, trainer())
    assert result.rows
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert not any(module._forward_hooks or module.training for module in model.modules())
    assert torch.equal(states[0], torch.get_rng_state()) and (states[1] == np.random.get_state()[1]).all()


def test_a_model_that_was_to_forget_nothing_is_judged_alone(taught):
    text = small_text()
    result = llm.evaluate(Judged(taught, None), text, trainer())
    rows = rows_of(result)
    assert all(row.before is row.reference is None for row in result.rows)
    assert rows["behaviour/accuracy/forget_statement"].value > 0.5
    assert rows["behaviour/accuracy/forget_statement"].better == "higher"
    assert rows["behaviour/refusal/forget"].better == "lower"
    for space in ("raw_block0", "raw_block0_end", "raw_block1", "raw_block1_end"):
        assert rows[f"representation/probe_auroc_vs_unknown/{space}"].target is None
        assert f"representation/known_probe_auroc_vs_unknown/{space}" in rows
    assert {"accuracy", "probe_logits"} == result.figures.keys()


def test_without_entities_there_is_behaviour_only(data, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data, "entities", {group: data.entities[group] for group in ("target", "known")})
    result = llm.evaluate(Judged(small_model(len(data.tokenizer)), problem(reference=None)), data, trainer())
    assert {row.suite for row in result.rows} == {"behaviour", "utility"}
    assert "representation: absent, the data set has no entities unknown, probe_known, probe_unknown" in result.notes


def test_a_reference_with_another_tokenizer_is_refused(data, tmp_path: Path):
    small_model(len(data.tokenizer)).save_pretrained(tmp_path)
    shuffled = json.loads(data.tokenizer.backend_tokenizer.to_str())
    words = shuffled["model"]["vocab"]
    shuffled["model"]["vocab"] = dict(zip(words, [0, 1, *reversed(range(2, len(words)))], strict=True))
    data.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(shuffled))
    judged = Judged(small_model(len(data.tokenizer)), problem(reference=str(tmp_path)))
    with pytest.raises(UserError, match="model.reference=.*: its tokenizer differs"):
        llm.evaluate(judged, data, trainer())


def test_sparse_autoencoders_have_their_own_suite(data, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llm_sae, "evaluate", lambda *given: given)
    method: Any = Judged(None, None)
    method.suite = "sae"
    assert llm.evaluate(method, data, "trainer") == (method, data, "trainer")  # type: ignore[arg-type, comparison-overlap]


def test_what_is_looked_at(forgetful: Evaluation, data, tmp_path: Path):
    assert forgetful.figures.keys() == {"accuracy", "probe_logits", "latents"}
    forgetful.write_figures(tmp_path / "figures")
    assert all((tmp_path / "figures" / f"{name}.png").stat().st_size > 5000 for name in forgetful.figures)
    points, labels = forgetful.embeddings["states_raw"]
    numbers = {group: entity_numbers(data.entities[group].items) for group in ("target", "known", "unknown")}
    counts = {f"{group} {when}": found.max() + 1 for when in ("before", "after") for group, found in numbers.items()}
    assert {label: labels.count(label) for label in labels} == counts
    model = load_causal_lm(model_folder(STEPS))
    states = spaces(model, data.entities["target"], [LAYER], LAYER, {})["raw"].numpy()
    means = [states[numbers["target"] == i].mean(0) for i in range(3)]
    assert points[:3] == pytest.approx(np.stack(means), abs=1e-5)


def test_tensorboard_has_the_projection(forgetful: Evaluation, tmp_path: Path):
    small = Evaluation([], histograms=forgetful.histograms, embeddings=forgetful.embeddings)
    with SummaryWriter(str(tmp_path)) as writer:
        small.log(writer, 7)
    projector = (tmp_path / "projector_config.pbtxt").read_text()
    assert projector.count("states_raw") >= 2
    lines = (tmp_path / "00007" / "states_raw" / "tensors.tsv").read_text().splitlines()
    assert len(lines) == len(forgetful.embeddings["states_raw"][1])
    assert "target after" in (tmp_path / "00007" / "states_raw" / "metadata.tsv").read_text()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert "probe_logits/raw/target_after" in events.Tags()["histograms"]


# Answers to a user's prompts


def test_prompts_are_answered(data, taught, tmp_path: Path):
    unknown = data.probes["unknown"].items
    hits = judge(taught, data.probes["unknown"]).exact
    asked = [unknown[i].prompt for i in np.flatnonzero(hits)[:2]]
    (tmp_path / "prompts.txt").write_text("\n\n".join(asked) + "\n")
    output = tmp_path / "answers.csv"
    said = llm.score(Judged(taught, None), small_unlearning(), trainer(), str(tmp_path / "prompts.txt"), str(output))
    assert said == f"2 prompts answered: {output}"
    with output.open() as file:
        assert list(csv.reader(file)) == [["prompt", "answer"], *([prompt, REFUSAL] for prompt in asked)]
    shown = llm.score(Judged(taught, None), small_unlearning(), trainer(), str(tmp_path / "prompts.txt"), None)
    assert shown.splitlines() == output.read_text().splitlines()


@pytest.mark.parametrize(
    ("content", "layout", "message"),
    [
        (None, None, "cannot be read"),
        ("\n \n", None, "no prompt in it"),
        ("Who?", "plain", "layout=plain: says how the lines of a log are cut"),
    ],
)
def test_prompts_that_cannot_be_answered(content, layout, message: str, data, taught, tmp_path: Path):
    if content is not None:
        (tmp_path / "prompts.txt").write_text(content)
    with pytest.raises(UserError, match=message):
        llm.score(Judged(taught, None), data, trainer(), str(tmp_path / "prompts.txt"), None, layout)


def test_a_share_of_the_firing_is_that_of_the_chosen(data):
    """`firing_rates` over chosen latents, not over all."""
    z = torch.tensor([[1.0, 0, 0], [1.0, 1.0, 0]])
    chosen = llm_latents.Chosen(*(llm_latents.Latents(torch.tensor(j), *torch.zeros(2, len(j))) for j in ([0], [1, 2])))
    groups = {"target": {"sae": z}, "unknown": {"sae": torch.zeros(1, 3)}}
    numbers, _ = llm_latents.firing(groups, {"sae": chosen})
    assert [n.value for n in numbers.values()] == [1, 0.25] and firing_rates(z).tolist() == [1, 0.5, 0]
