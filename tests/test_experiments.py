"""Every file in experiments/ composes and is described; every experiment runs. A new one is tested by existing."""

import os
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from lit_unlearn import checkpoint, command_line, config, nodes
from lit_unlearn.errors import UserError
from lit_unlearn.evaluation.result import Evaluation
from lit_unlearn.fit import fit
from lit_unlearn.report import Report
from tests import diffusion_data, llm_data, robust_data

FILES = sorted(config.EXPERIMENTS.rglob("*.yaml"))
EXPERIMENTS, METHODS, DATA, TRAINERS = map(config.choices, ("experiment", "method", "data", "trainer"))
LOG_METRICS = ["auroc", "auprc"] + [
    f"{metric}_{policy}"
    for metric in ("f1", "precision", "recall", "specificity")
    for policy in ("oracle", "quantile", "contamination")
]
ROWS = {  # suite/metric/split, an interface to other tools
    "anomaly": {
        *(f"detection/{metric}/{split}" for metric in ("auroc", "auprc") for split in ("all", "seen", "unseen")),
        *("data/contamination/unlabeled", "data/items/labelled"),
    },
    "logs": {
        *(f"detection/{m}/{s}" for m in LOG_METRICS for s in ("line", "distinct", "window_100", "window_60min")),
        *("data/seen_share/test", "data/items/train", "data/items/test", "data/contamination/test"),
    },
    "llm": {"utility/perplexity/general", "behaviour/accuracy/forget"},
    "llm UnlearningBatch": {
        *(f"behaviour/accuracy/{split}" for split in ("forget", "forget_statement", "forget_paraphrase", "retain")),
        *("behaviour/refusal/unknown", "behaviour/probability/forget", "behaviour/truth_ratio/forget"),
        *(f"representation/probe_auroc_vs_unknown/{space}" for space in ("raw", "raw_end", "sae", "heldout_sae")),
        *("representation/ks_vs_unknown/raw", "representation/fvu/sae", "utility/perplexity/general"),
    },
    "llm sae": {*(f"sae/{metric}/general" for metric in ("explained_variance", "fvu", "l0"))},
    "diffusion": {
        *(f"generation/{metric}/all" for metric in ("non_sensitive_rate", "frechet", "precision", "recall")),
        *(
            "generation/class_share/3",
            "judge/accuracy/classes",
            "judge/accuracy/groups",
            "data/contamination/unlabeled",
        ),
    },
    "diffusion prompts": {
        *(f"generation/{metric}/all" for metric in ("non_sensitive_rate", "frechet", "precision", "recall")),
        *("generation/class_share/Brad Pitt", "judge/accuracy/classes", "data/contamination/unlabeled"),
        *("forgetting/forgotten_rate/asked", "forgetting/asked_accuracy/retain"),
        *(f"attack/forgotten_rate/{kind}" for kind in ("tokens", "simplex", "free", "relearn_5")),
    },
    "robust": {
        f"accuracy/{metric}/{split}"
        for metric in ("clean", "fgsm", "pgd20", "autoattack")
        for split in ("best", "last")
    },
}
SMALL = {  # overrides that make a run of the domain's embedded experiment short
    "anomaly": [],
    "logs": [
        *("data.num_lines=2000", "data.lines_per_epoch=64", "data.vocab_size=300", "data.num_labelled=10"),
        *("model.hidden=16", "model.layers=1", "model.generator_hidden=16"),
    ],
}


def small(composed: dict) -> list[str]:
    """Overrides that make a run of a composed experiment short."""
    kind = kind_of(composed)
    if kind == "robust":
        return robust_data.short(composed)
    if kind.startswith("diffusion"):
        return diffusion_data.small(composed)
    if not kind.startswith("llm"):
        return SMALL[kind]
    world = [f"data.{key}={value}" for key, value in llm_data.WORLD.items()] + ["data.max_length=40", "requires=[]"]
    if kind == "llm":
        sizes = ["model.hidden=16", "model.layers=2", "model.heads=2", "model.feed_forward=32"]
        return [*world, *sizes, "data.num_documents=300"]
    arguments = nodes.arguments_of(nodes.imported(composed["method"]["_target_"]))
    knowing = 300 if "extraction" in arguments else 0  # what a model knows can only be asked of one that learnt
    path = [f"model.path={llm_data.model_folder(knowing)}", f"model.layer={llm_data.LAYER}"]
    if kind == "llm sae":
        return [*world, *path, "model.d_sae=32", "model.k=4", "data.num_documents=1500"]
    reference = f"model.reference={llm_data.model_folder(without_targets=True)}"
    autoencoders = [f"model.{name}={llm_data.autoencoder_folder()}" for name in ("sae", "heldout_sae")]
    random = {"force": "true", "max_fvu": "1e9", "min_ratio": "0"}  # neither model nor autoencoder has learnt anything
    own = [f"method.{name}={value}" for name, value in random.items() if name in arguments]
    own += ["method.extraction={samples: 6, neighbours: 6, cloze_samples: 2}"] if knowing else []
    own += ["data.num_extracted=1"] if ".concepts." in composed["data"]["_target_"] else []
    return [*world, *path, reference, *autoencoders, *own]


def kind_of(composed: dict) -> str:
    """What a run measures: a domain, and in that of language models what is trained."""
    method = nodes.imported(composed["method"]["_target_"])
    batches = getattr(method, "batch_type", None)
    unlearns = "UnlearningBatch" if batches is not None and batches.__name__ == "UnlearningBatch" else ""
    prompts = "prompts" if "prompts" in getattr(nodes.imported(composed["data"]["_target_"]), "offers", ()) else ""
    return f"{nodes.domain(composed['method'])} {getattr(method, 'suite', '') or unlearns or prompts}".strip()


def node(group: str, name: str) -> dict:
    return yaml.safe_load((config.EXPERIMENTS / group / f"{name}.yaml").read_text())


def pairs() -> list[tuple[str, str]]:
    """Every method with the first data set of its domain, every data set with the first method of its."""
    of_method, of_data = ({name: kind(node(group, name)) for name in of} for group, of in GROUPS)
    first_method, first_data = ({domain: name for name, domain in reversed(of.items())} for of in (of_method, of_data))
    return [(name, first_data[domain]) for name, domain in of_method.items()] + [
        (first_method[domain], name) for name, domain in of_data.items()
    ]


GROUPS = (("method", METHODS), ("data", DATA))


def kind(found: dict) -> tuple[str, type | None, bool]:
    """The domain of a method or data node, the batches it trains on, where a domain has several, and whether there are
    prompts in it."""
    cls = nodes.imported(found["_target_"])
    needed = nodes.arguments_of(cls).get("prompts", (None, None))[1] is ...
    return nodes.domain(found), getattr(cls, "batch_type", None), needed or "prompts" in getattr(cls, "offers", ())


@cache
def data_of(name: str) -> dict:
    """The data node of an experiment."""
    return config.compose([f"experiment={name}"])["data"]


def is_embedded(name: str) -> bool:
    """Whether an experiment's data come with a library."""
    return "data_root" not in nodes.arguments_of(nodes.imported(data_of(name)["_target_"]))


def experiment_of(method: str, embedded: bool = False) -> str:
    """The method's own first experiment, else the first with its batches; `embedded`: of those that need no file."""
    wanted = kind(node("method", method))
    usable = [name for name in EXPERIMENTS if not embedded or is_embedded(name)]
    own = [name for name in usable if name.split("/")[0] == method]
    return next(name for name in own + usable if kind(data_of(name)) == wanted)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_passes_the_check(name: str):
    composed = config.compose([f"experiment={name}"])
    assert config.check(composed) == []
    method, data = name.split("/")
    assert nodes.component(composed["method"]) == {"lm_finetuning": "lm_pretraining"}.get(method, method)
    assert data.startswith(nodes.component(composed["data"]).removesuffix("_text"))
    assert composed["run_dir"] == f"checkpoints/{name}/seed0"


@pytest.mark.parametrize(("method", "data"), pairs())
def test_methods_and_data_sets_of_a_domain_go_together(method: str, data: str):
    composed = config.compose([f"experiment={experiment_of(method)}", f"method={method}", f"data={data}"])
    assert config.check(composed) == []


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer_passes_the_check(trainer: str):
    composed = config.compose([f"experiment={next(iter(EXPERIMENTS))}", f"trainer={trainer}"])
    assert config.check(composed) == []
    assert config.check(config.compose(["checkpoint=a", f"trainer={trainer}"], "evaluate"), "evaluate") == []


def smoke(name: str, run_dir: Path, *overrides: str) -> Report:
    """Two steps, evaluated and reported."""
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", f"run_dir={run_dir}"]
    made = fit([f"experiment={name}", *short, *overrides])
    assert made is not None
    return made


def assert_complete(made: Report, run_dir: Path) -> None:
    there = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert Report.from_json((run_dir / "report.json").read_text()) == made
    assert (made.experiment, made.seed, made.config_sha) == (there["experiment"], 0, config.config_sha(there))
    assert made.cost.steps == 2 and made.cost.fit_seconds > 0
    names = [f"{row.suite}/{row.metric}/{row.split}" for row in made.rows]
    assert len(set(names)) == len(names)
    assert set(names) >= ROWS[kind_of(there)]
    last = torch.load(run_dir / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2 and last[checkpoint.ENTRY]["config"] == there
    assert (run_dir / "report.md").is_file() and list(run_dir.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs(name: str, tmp_path: Path):
    if is_embedded(name):
        short = small(config.compose([f"experiment={name}"]))
        assert_complete(smoke(name, tmp_path / "run", *short), tmp_path / "run")
        return
    if "LIT_UNLEARN_DATA" not in os.environ:
        pytest.skip("LIT_UNLEARN_DATA names no folder of real data")
    try:
        composed = config.compose([f"experiment={name}"])
        short = small(composed) if nodes.domain(composed["method"]) in ("robust", "diffusion") else []  # for a GPU
        made = smoke(name, tmp_path / "run", *short)
    except UserError as error:
        if not str(error).startswith(("data_root=", "data.tokenizer=")):  # neither data nor model of the hub
            raise
        pytest.skip(str(error))
    assert_complete(made, tmp_path / "run")


RIVALS_ALIKE = {
    *("gradient_ascent", "grad_diff", "simnpo", "dpo", "rmu", "undial", "wga", "satimp", "ce_u", "pdu", "flat"),
    *("task_vector", "crisp", "given_sentences", "generated_biographies", "refusal_tuning"),
    *("fast_at", "trades", "mart", "ard", "iad_1", "iad_2", "rslad"),
}
"""Trained in tests/methods/llm/test_rivals.py, tests/methods/robust; as commands they differ in their loss only."""


@pytest.mark.parametrize("method", [name for name in METHODS if name not in RIVALS_ALIKE])
def test_every_method_runs_as_a_command_would_have_it(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Through the program, its checkpoint and its evaluation, on data that need no file; figures are made elsewhere."""
    monkeypatch.setattr(Evaluation, "write_figures", lambda self, folder: None)
    monkeypatch.setattr(Evaluation, "log", lambda self, writer, step: None)
    name = experiment_of(method, embedded=True)
    short = small(config.compose([f"experiment={name}", f"method={method}"]))
    made = smoke(name, tmp_path / "run", f"method={method}", *short)
    assert made.method == nodes.component(node("method", method))
    assert made.experiment in (name, f"{name}-method_{method}")
    assert made.cost.steps in (1, 2)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(config.EXPERIMENTS)))
def test_every_file_says_what_it_is(path: Path):
    lines = path.read_text().splitlines()
    if lines[0] == "# @package _global_":
        lines = lines[1:]
    assert lines[0].startswith("# ") and 10 < len(lines[0]) < 120 and "@" not in lines[0]
    assert path.read_text().isascii()


def test_help_lists_every_experiment_method_data_set_and_trainer():
    lines = command_line.help_text("fit").splitlines()
    for options in (EXPERIMENTS, METHODS, DATA, TRAINERS):
        for name, description in options.items():
            assert any(line.split() == [name, *description.split()] for line in lines), name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_leaves_the_method_alone(name: str):
    """Its values would leak into a method chosen by override: values of a pair live in method/tuned/<data>/<method>."""
    assert "method" not in node("experiment", name)


@pytest.mark.parametrize("path", [path for path in FILES if "tuned" in path.parts], ids=lambda path: path.stem)
def test_tuned_values_are_those_of_an_existing_pair(path: Path):
    data = path.relative_to(config.EXPERIMENTS / "method" / "tuned").parent.as_posix()
    assert data in DATA and path.stem in METHODS
    values = yaml.safe_load(path.read_text())
    composed = config.compose([f"experiment={experiment_of(path.stem)}", f"method={path.stem}", f"data={data}"])
    assert values and {key: composed["method"][key] for key in values} == values
