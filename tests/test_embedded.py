"""The models that ship with the repository, and that the same commands make siblings of them."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_unlearn import config, run_directory
from lit_unlearn.fit import fit
from lit_unlearn.networks.sparse_autoencoder import load_sparse_autoencoder
from tests import llm_data

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "checkpoints"
EMBEDDED = [
    *("lm_pretraining/biographies", "lm_pretraining/biographies_reference"),
    *("sae_training/biographies", "sae_training/biographies_heldout"),
]
WORLD = [f"data.{key}={value}" for key, value in llm_data.WORLD.items()]


def test_the_files_are_what_their_hashes_say():
    lines = (CHECKPOINTS / "SHA256SUMS").read_text().splitlines()
    assert len(lines) >= 14
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256((CHECKPOINTS / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("experiment", EMBEDDED)
def test_a_run_that_requires_them_finds_them_finished(experiment, monkeypatch):
    monkeypatch.chdir(ROOT)
    composed = config.compose([f"experiment={experiment}"])
    assert run_directory.is_finished(Path(composed["run_dir"]))
    report = json.loads((Path(composed["run_dir"]) / "report.json").read_text())
    assert report["experiment"] == experiment and report["cost"]["steps"] > 700


def test_the_language_model_knows_what_its_report_says():
    folder = CHECKPOINTS / "lm_pretraining" / "biographies" / "seed0" / "export"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    from datamodules.llm.world import World

    person = World().people[0]
    prompt = tokenizer(f"Question: Where was {person.name} born? Answer:", return_tensors="pt")["input_ids"]
    answer = tokenizer.decode(model(prompt).logits[0, -1].argmax())
    assert answer == person.facts["birthplace"]
    sae = load_sparse_autoencoder(str(CHECKPOINTS / "sae_training" / "biographies" / "seed0" / "export"))
    assert (sae.d_in, sae.layer) == (model.config.hidden_size, 1)


def test_siblings_by_the_same_commands_and_one_of_them_forgets(tmp_path, monkeypatch):
    """Training, then unlearning with report, export and model card, all small."""
    monkeypatch.chdir(tmp_path)
    sizes = ["model.hidden=16", "model.layers=2", "model.heads=2", "model.feed_forward=32"]
    text = ["data.num_documents=1500", "data.max_length=40", "data.batch_size=32", "trainer.max_epochs=2"]
    for name in ("biographies", "biographies_reference"):
        fit([f"experiment=lm_pretraining/{name}", *sizes, *WORLD, *text])
    run = ["experiment=sae_unlearning/biographies", "method=npo", "requires=[]", "method.force=true"]
    small = ["data.max_length=40", "trainer.max_epochs=1", "model.sae=null", "model.heldout_sae=null", "model.layer=0"]
    report = fit([*run, *WORLD, *small])
    assert report is not None
    rows = {row.name: row for row in report.rows}
    forgotten = rows["behaviour/accuracy/forget_statement"]
    assert forgotten.before is not None and forgotten.reference is not None
    assert "representation/probe_auroc_vs_unknown/raw" in rows
    folder = Path("checkpoints/sae_unlearning/biographies-method_npo/seed0/export")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert torch.isfinite(model(**tokenizer("Who wrote it?", return_tensors="pt")).logits).all()
    card = (folder / "README.md").read_text()
    assert "Forgotten with the method `npo`: " in card and "behaviour" in card
