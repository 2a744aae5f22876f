"""The suite of language models as a whole: rows, what stands beside them, what is absent, pictures."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from lit_unlearn.errors import UserError
from lit_unlearn.evaluation import llm, llm_sae
from lit_unlearn.evaluation.llm_asking import entity_numbers
from lit_unlearn.evaluation.llm_states import spaces
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.metrics.knownness import fit_probe, separation
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import load_sparse_autoencoder
from lit_unlearn.report import Row
from tests.anomaly_data import trainer
from tests.evaluation.llm_models import STEPS, Judged, data as data, taught as taught
from tests.llm_data import LAYER, model_folder, problem, sae_folder, small_model, small_text


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
