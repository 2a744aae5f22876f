"""`pretrained` copies the whole encoder of an autoencoder, or says why it cannot."""

from pathlib import Path

import pytest
import torch
from lightning import Callback

from lit_unlearn.errors import UserError
from lit_unlearn.methods.anomaly.base import copy_encoder
from tests.anomaly_data import Generated, build_method, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")


class AtTheFirstBatch(Callback):
    """Keeps a copy of the state that training starts from."""

    def on_train_batch_start(self, fit, method, batch, batch_idx: int) -> None:
        if fit.global_step == 0:
            self.state = {key: value.clone() for key, value in method.state_dict().items()}


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("autoencoder") / "last.ckpt"
    fit = trainer(max_epochs=1)
    fit.fit(build_method("autoencoder", [1, 8, 8], seed=1), datamodule=Generated())
    fit.save_checkpoint(file)
    return file


def test_every_key_of_the_encoder_is_copied(autoencoder: Path):
    """The reference code of Deep SAD copies none: its names differ, and only equal names are kept."""
    start = AtTheFirstBatch()
    method = build_method("pu_svdd", [1, 8, 8], pretrained=str(autoencoder))
    before = {key: value.clone() for key, value in method.loss.encoder.state_dict().items()}
    data = Generated()
    trainer(max_epochs=1, limit_train_batches=1, callbacks=[start]).fit(method, datamodule=data)
    weights = torch.load(autoencoder, weights_only=True)["state_dict"]
    assert len(before) > 0
    for key, value in before.items():
        assert torch.equal(start.state[f"loss.encoder.{key}"], weights[f"loss.encoder.{key}"]), key
        assert not torch.equal(value, weights[f"loss.encoder.{key}"]), f"{key}: nothing to copy, the test cannot fail"
    # The centre belongs to the copied encoder, not to the one before.
    copied = build_method("pu_svdd", [1, 8, 8])
    copy_encoder(str(autoencoder), copied.loss.encoder)
    copied.loss.set_centre(data.unlabeled)
    torch.testing.assert_close(start.state["loss.centre"], copied.loss.centre)


@pytest.mark.parametrize("problem", [{"representation": 9}, {"network": "mlp"}, {"network": "lenet"}])
def test_another_network_is_refused(autoencoder: Path, problem: dict):
    method = build_method("deep_svdd", [1, 8, 8], pretrained=str(autoencoder), **problem)
    with pytest.raises(UserError, match=r"method.pretrained=.*cannot take its encoder.*method=autoencoder"):
        trainer(max_epochs=1).fit(method, datamodule=Generated())


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path):
    encoder = build_method("deep_svdd", [1, 8, 8]).loss.encoder
    (tmp_path / "torn.ckpt").write_bytes(b"not a checkpoint")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    torch.save({"weights": 1}, tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    for name in ("torn", "empty", "foreign", "list", "absent"):
        with pytest.raises(UserError, match=f"{name}.ckpt: cannot take its encoder"):
            copy_encoder(str(tmp_path / f"{name}.ckpt"), encoder)
