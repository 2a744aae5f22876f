"""Two processes compute what one does; averages, augmentation and projections go on to equal bits."""

from pathlib import Path

import pytest

from lit_unlearn.config import compose
from tests.program import differences, last
from tests.robust_data import classifier_folder, short
from tests.test_distributed import DDP, DOUBLE, FSDP, assert_close, ended
from tests.test_resume import folder, put_back, snapshots, start_again  # noqa: F401  (folder: the current one)

ARDIR = ["experiment=ardir/digits", "run_dir=run", "evaluate=false", "trainer.max_epochs=2"]
ARDIR += short(compose(["experiment=ardir/digits"]))
WITHOUT_NOISE = ["method.attack_start=none", "model.learning_rate=0.01"]  # each process draws its own


@pytest.mark.slow
def test_ddp_is_one_process(tmp_path: Path):
    """With batch statistics, a teacher that DDP does not know, a learnt projection and an average."""
    changed = [*WITHOUT_NOISE, "model.network=resnet20", "method.layers=[conv1]", "method.average=ema", DOUBLE]
    one = ended(tmp_path / "one", *ARDIR, *changed)
    two = ended(tmp_path / "two", *ARDIR, *changed, *DDP)
    assert two["global_step"] == one["global_step"] == 4
    assert "projections.0.weight" not in one["state_dict"]  # conv1 of both has 16 channels
    assert_close(one["state_dict"], two["state_dict"], 1e-9)


@pytest.mark.slow
def test_fsdp_is_one_process(tmp_path: Path):
    """Attacks take gradients through a sharded network; the average and the projections are sharded with it.

    In float32, deep networks with batch statistics differ by 1e-3 after a few steps: the attack takes the sign of
    gradients, and the sign of one near zero depends on the order of a sum. Without an attack they are within 1e-6.
    """
    wide = f"model.teacher={classifier_folder(10, network='wide_conv')}"
    changed = [*WITHOUT_NOISE, "model.network=small_conv", "method.average=ema", wide]
    one = ended(tmp_path / "one", *ARDIR, *changed)
    two = ended(tmp_path / "two", *ARDIR, *changed, *FSDP)
    assert two["global_step"] == one["global_step"] == 4
    assert_close(one["state_dict"], two["state_dict"], 1e-4)


def test_from_every_step_with_everything_that_has_state(folder: Path):  # noqa: F811
    changed = ["method.average=ema", "data.augment=crop_flip", "method.layers=[conv1,penultimate]"]
    changed += [f"model.teacher={classifier_folder(10, network='wide_conv')}", "model.network=small_conv"]
    overrides = [*ARDIR, *changed, "callbacks.last.every_n_steps=1"]
    with snapshots(folder) as taken:
        start_again(overrides)
    whole = last(Path("run"))
    assert "projections.1.weight" in whole["state_dict"] and int(whole["state_dict"]["average.taken"]) == 4
    for snapshot in taken[:3]:
        put_back(snapshot)
        start_again(overrides)
        assert differences(whole, last(Path("run"))) == [], snapshot.name
