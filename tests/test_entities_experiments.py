"""The experiments on real entities, on a miniature of their files and with a tiny model in the place of Gemma 3."""

from pathlib import Path

import pytest
import torch

from lit_unlearn.errors import UserError
from lit_unlearn.fit import fit
from lit_unlearn.networks.causal_lm import load_causal_lm
from lit_unlearn.networks.sparse_autoencoder import load_sparse_autoencoder
from lit_unlearn.report import Report
from tests.datamodules.llm.entity_folder import TARGET, data_root, model_folder

MINIATURE = ["data.known=null", "data.num_known=36", "data.num_unknown=8", "data.num_choices=3", "data.max_length=96"]
BLOCKS = "method.modules=layers"  # the experiment trains those that Gemma has
SHORT = ["requires=[]", "model.layer=0", "trainer.max_steps=2"]


def run(name: str, run_dir: Path, *overrides: str) -> Report:
    where = [f"model.path={model_folder()}", f"data_root={data_root()}", f"run_dir={run_dir}"]
    made = fit([f"experiment={name}", *where, *MINIATURE, *SHORT, *overrides])
    assert made is not None
    return made


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sae")
    made = run("sae_training/entities", folder, "model.d_sae=32", "model.k=4")
    assert {"sae/explained_variance/general", "sae/single_latent_auroc/all"} <= {row.name for row in made.rows}
    return folder / "export"


def test_an_autoencoder_is_trained_on_centred_states(autoencoder):
    sae = load_sparse_autoencoder(str(autoencoder))
    assert sae.layer == 0 and sae.d_sae == 32 and sae.b_dec.abs().max() > 0


def test_a_person_is_forgotten_and_the_report_has_ranks_beside_those_of_nobody(autoencoder, tmp_path):
    options = [f"model.sae={autoencoder}", "method.force=true", "method.max_fvu=1e9", BLOCKS]
    made = run("sae_unlearning/entities", tmp_path / "run", *options, f"data.targets=[{TARGET}]")
    rows = {row.name: row for row in made.rows}
    for split in ("forget", "retain", "neighbour", "unknown"):
        for form in ("", "_statement"):
            for metric in ("rank", "probability"):
                row = rows[f"behaviour/{metric}/{split}{form}"]
                assert row.before is not None and row.ci95 is not None
    for split in ("forget_paraphrase", "forget_statement_paraphrase", "neighbour_shown"):
        assert 1 <= rows[f"behaviour/rank/{split}"].value <= 4
    assert {"utility/perplexity/general", "representation/probe_auroc_vs_unknown/raw"} <= set(rows)
    exported = load_causal_lm(str(tmp_path / "run" / "export"))
    assert exported.config.hidden_size == load_causal_lm(model_folder()).config.hidden_size


def test_low_rank_additions_are_exported_as_plain_weights(autoencoder, tmp_path):
    """With Gemma's four norms a block, tied embeddings and windows of attention."""
    options = [f"model.sae={autoencoder}", "method.force=true", "method.max_fvu=1e9", BLOCKS, "method.trained=lora"]
    made = run("sae_unlearning/entities", tmp_path / "run", *options, "method.learning_rate=0.1", "evaluate=true")
    assert made.cost.steps == 2
    exported, untouched = (load_causal_lm(str(path)).state_dict() for path in (tmp_path / "run/export", model_folder()))
    changed = {name for name in untouched if not torch.equal(exported[name], untouched[name])}
    assert exported.keys() == untouched.keys()
    assert changed and all(name.startswith("model.layers.0.") and "norm" not in name for name in changed)


def test_another_method_runs_on_the_same_person(tmp_path):
    made = run("sae_unlearning/entities", tmp_path / "run", "model.sae=null", "method=npo", "method.force=true")
    assert made.method == "npo" and "behaviour/rank/forget" in {row.name for row in made.rows}


def test_a_model_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("sae_training/entities", "sae_unlearning/entities"):
        with pytest.raises(UserError, match=r"^data\.tokenizer=nowhere: no tokenizer can be read there") as error:
            run(name, tmp_path / "run", "model.path=nowhere")
        assert len(error.value.lines) == 1 and not (tmp_path / "run").exists()
