"""What cannot be forgotten, or not like this, through the command: one line says so, and nothing is written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lit_unlearn.fit import fit
from tests import llm_data
from tests.refusals import assert_lines, folder as folder, refused

KNOWS = 300
"""Training steps after which the tiny model knows its people."""


def overrides(steps: int = KNOWS, *more: str) -> list[str]:
    path = llm_data.model_folder(steps)
    model = [f"model.path={path}", "model.reference=null", "model.sae=null", "model.heldout_sae=null", "model.layer=0"]
    world = [f"data.{key}={value}" for key, value in llm_data.WORLD.items()]
    sizes = ["data.max_length=40", "data.batch_size=8", "data.retain_batch_size=8", "trainer.max_epochs=1"]
    start = ["experiment=sae_unlearning/biographies", "method=grad_diff", "requires=[]", "run_dir=run"]
    return [*start, *model, *world, *sizes, *more]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("more", "lines"),
    [
        (["data.targets=[Mara Velin]"], [r"data.targets='Mara Velin': nobody has this name; the nearest are "]),
        (
            ["data.num_targets=6"],
            [r"data.num_targets=6: twice as many, and two to be kept, are more than the 12 people"],
        ),
        (["data.max_length=9"], [r"data.max_length=9: .* with its answer has \d+ tokens; give \d+ or more"]),
        (["model.path=nowhere"], [r"data.tokenizer=nowhere: no tokenizer can be read there"]),
        (["method.modules=nothing"], [r"method.modules='nothing': matches no parameter of blocks 0 to 1; those of a"]),
        (["method=sae_unlearning"], [r"model.sae: null; this method needs a sparse autoencoder"]),
        (["method=sae_unlearning", "model.sae=nowhere"], [r"sparse autoencoder nowhere: no such folder"]),
        (
            ["method=lm_pretraining"],
            [r"model.start: the method or data chosen needs it, and the experiment does not have it"],
        ),
        (
            ["method.retain={mse:1}"],
            [r"method.retain.mse=1: should be 'nll', 'kl', 'hidden_mse' or 'final_mse'"],
        ),
        (["model.layer=-1"], [r"method.model.layer=-1: should be greater than or equal to 0"]),
        (["model.layer=x"], [r"method.model.layer='x': should be a valid integer"]),
    ],
)
def test_refused(more, lines, capsys):
    assert_lines(refused(*overrides(KNOWS, *more)), lines)
    assert not Path("run").exists()


@pytest.mark.usefixtures("folder")
def test_targets_that_the_model_does_not_know_are_refused_unless_forced():
    line = (
        r"data.targets: the model does not know them: it gives their true answers a probability of 0\.\d+, and 0\.\d+"
    )
    assert_lines(refused(*overrides(0)), [line])
    assert not Path("run").exists()
    fit(overrides(0, "method.force=true", "evaluate=false"))
    assert Path("run/last.ckpt").is_file()


@pytest.mark.usefixtures("folder")
def test_a_model_with_another_tokenizer_is_refused():
    source, here = Path(llm_data.model_folder(KNOWS)), Path("model")
    here.mkdir()
    for file in source.iterdir():
        (here / file.name).write_bytes(file.read_bytes())
    weights = load_file(here / "model.safetensors")
    name = "model.embed_tokens.weight"
    save_file({**weights, name: weights[name][:-5].clone()}, here / "model.safetensors", {"format": "pt"})
    config = (here / "config.json").read_text()
    size = len(weights[name])
    (here / "config.json").write_text(config.replace(f'"vocab_size": {size}', f'"vocab_size": {size - 5}'))
    line = rf"data.tokenizer: has {size} tokens and model.path=model {size - 5}; give the tokenizer of this model"
    assert_lines(refused(*overrides(KNOWS, "model.path=model")), [line])
    assert torch.equal(load_file(source / "model.safetensors")[name], weights[name])
