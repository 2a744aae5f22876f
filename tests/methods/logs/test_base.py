"""What holds for every method of the logs domain: a new one is tested by existing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule

from datamodules.logs.base import LogDataModule
from datamodules.logs.batches import LineBatch
from lit_unlearn import config, nodes
from lit_unlearn.methods.logs.base import FittedLogDetector, LogDetector, NetworkLogDetector
from lit_unlearn.methods.schedule import num_steps
from lit_unlearn.metrics.quantiles import weighted_quantiles
from tests.anomaly_data import trainer
from tests.logs_data import METHODS, build_method, small_log

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*is smaller than the logging")
NETWORKS = [name for name in METHODS if issubclass(config.method_class(name), NetworkLogDetector)]
TOKENS_OF_LINES = [name for name in METHODS if hasattr(config.method_class(name), "token_scores")]


@pytest.fixture(scope="module")
def data() -> LogDataModule:
    return small_log()


@pytest.fixture(scope="module")
def trained(data: LogDataModule) -> dict[str, LightningModule]:
    """Every method after four epochs of three steps."""
    methods = {}
    for name in METHODS:
        methods[name] = build_method(name, data)
        trainer(max_epochs=4).fit(methods[name], datamodule=data)
        methods[name].eval()
    return methods


def scores_of(method: LightningModule, data: LogDataModule, lines: np.ndarray, batch_size: int = 512) -> torch.Tensor:
    """(n,) scores of distinct lines, in their order."""
    loader = data.loader(lines, batch_size=batch_size)
    with torch.no_grad():
        computed = torch.cat([method.predict_step(batch, 0) for batch in loader])
    return computed[torch.from_numpy(loader.dataset.order).argsort()]


def test_all_are_there():
    own = {"log_electra", "date", "pu_log_electra"}
    baselines = {"never_seen", "tfidf_nearest", "mean_log_likelihood", "log_bert", "deep_log", "pca_templates"}
    assert set(METHODS) >= own | baselines | {"tfidf_isolation_forest"}


@pytest.mark.parametrize("name", METHODS)
def test_file_describes_the_method_and_its_arguments(name: str):
    description = config.choices("method")[name]
    assert ": " in description or name == "mean_log_likelihood" or name == "tfidf_nearest"
    text = (config.EXPERIMENTS / "method" / f"{name}.yaml").read_text()
    arguments = nodes.arguments_of(config.method_class(name))
    # The problem is handed to every method alike.
    for argument in ("hidden", "layers", "generator_hidden", "generator_layers"):
        takes_it = argument in arguments and name != "deep_log"  # an LSTM of its own
        assert (f"{argument}: ${{model.{argument}}}" in text) == takes_it
    module = __import__(config.method_class(name).__module__, fromlist=["x"]).__doc__
    assert f"method={name}" in module or f"experiment={name}/" in module


@pytest.mark.parametrize("name", METHODS)
def test_scores_differ_and_are_finite(name: str, trained: dict[str, LightningModule], data: LogDataModule):
    scores = scores_of(trained[name], data, np.unique(data.line[data.test]))
    assert scores.isfinite().all()
    assert len(scores.unique()) > (1 if name in ("never_seen", "log_bert") else 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_move(name: str, data: LogDataModule, trained: dict[str, LightningModule]):
    """A detector was once shipped with its backward pass switched off."""
    before = dict(build_method(name, data).named_parameters())
    for key, value in trained[name].named_parameters():
        assert not torch.equal(value, before[key]), f"{key} has not moved"
    assert before


@pytest.mark.parametrize("name", METHODS)
def test_the_score_of_a_line_depends_neither_on_its_batch_nor_on_padding_nor_on_order(
    name: str, trained: dict[str, LightningModule], data: LogDataModule
):
    lines = np.random.default_rng(0).permutation(np.unique(data.line[data.test]))[:60]
    whole = scores_of(trained[name], data, lines)
    for other in (
        scores_of(trained[name], data, lines, batch_size=1),
        scores_of(trained[name], data, lines[::-1]).flip(0),
    ):
        torch.testing.assert_close(other, whole, rtol=0, atol=1e-6)
    batch = LineBatch(
        data.encoded.batch(lines), torch.zeros(60, dtype=torch.bool), torch.ones(60), [data.texts[i] for i in lines]
    )
    padded = batch._replace(tokens=torch.nn.functional.pad(batch.tokens, (0, 48 - batch.tokens.shape[1])))
    with torch.no_grad():
        assert padded.tokens.shape[1] == data.max_length
        torch.testing.assert_close(trained[name].predict_step(padded, 0), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TOKENS_OF_LINES)
def test_token_scores_make_up_the_line_score(name: str, trained: dict[str, LightningModule], data: LogDataModule):
    batch = next(iter(data.predict_dataloader()))
    with torch.no_grad():
        tokens, lines = trained[name].token_scores(batch.tokens), trained[name].line_scores(batch)
    own = batch.tokens > 3  # neither padding nor an end
    own |= batch.tokens == 1
    assert tokens.shape == batch.tokens.shape and (tokens[~own] == 0).all()
    torch.testing.assert_close(tokens.sum(1) / own.sum(1), lines)


@pytest.mark.parametrize("name", METHODS)
def test_quantiles_are_those_of_held_out_lines(name: str, trained: dict[str, LightningModule], data: LogDataModule):
    method = trained[name]
    assert (method.unlabeled_quantiles.diff() >= 0).all()
    if name == "deep_log":  # of lines in their sequence: tested with the method
        return
    distinct, counts = np.unique(data.line[data.validation], return_counts=True)
    expected = weighted_quantiles(scores_of(method, data, distinct).float(), torch.from_numpy(counts), 1001)
    torch.testing.assert_close(method.unlabeled_quantiles, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_checkpoint_holds_all_of_it(
    name: str, trained: dict[str, LightningModule], data: LogDataModule, tmp_path: Path
):
    """Read with weights_only=True into a freshly built method: bitwise the same scores."""
    torch.save(trained[name].state_dict(), tmp_path / "state.pt")
    fresh = build_method(name, data, seed=1).eval()
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    lines = np.unique(data.line[data.test])
    assert torch.equal(scores_of(fresh, data, lines), scores_of(trained[name], data, lines))
    assert torch.equal(fresh.unlabeled_quantiles, trained[name].unlabeled_quantiles)


@pytest.mark.parametrize("name", METHODS)
def test_a_seed_twice_gives_the_same_scores(name: str, trained: dict[str, LightningModule]):
    """Data included: reading, splitting, the vocabulary."""
    data = small_log()
    method = build_method(name, data)
    torch.manual_seed(99)
    trainer(max_epochs=4).fit(method, datamodule=data)
    lines = np.unique(data.line[data.test])
    assert torch.equal(scores_of(method.eval(), data, lines), scores_of(trained[name], data, lines))


class Lengths(LogDetector):
    """Scores a line by its number of words."""

    def line_scores(self, batch: LineBatch) -> torch.Tensor:
        return torch.tensor([float(len(text.split())) for text in batch.text])


def test_quantiles_weigh_lines_by_their_count(data: LogDataModule):
    method = Lengths()
    trainer().validate(method, datamodule=data, verbose=False)
    words = np.sort([len(data.texts[i].split()) for i in data.line[data.validation]])
    expected = [words[max(0, -(-k * len(words) // 1000) - 1)] for k in range(1001)]
    assert method.unlabeled_quantiles.tolist() == expected
    assert method.trainer.callback_metrics["val/score"].item() == pytest.approx(words.mean())


class Fitted(FittedLogDetector):
    """Remembers what it is fitted to."""

    def fit_lines(self, text: list[str], count: np.ndarray) -> None:
        self.given = dict(zip(text, count.tolist(), strict=True))

    def line_scores(self, batch: LineBatch) -> torch.Tensor:
        return torch.tensor([float(text not in self.given) for text in batch.text])


def test_what_has_no_gradient_is_fitted_once_to_all_training_lines(data: LogDataModule):
    method, fit = Fitted(), trainer(max_epochs=50)
    fit.fit(method, datamodule=data)
    texts, counts = np.unique([data.texts[i] for i in data.line[data.train]], return_counts=True)
    assert method.given == dict(zip(texts.tolist(), counts.tolist(), strict=True))
    assert fit.global_step == 1  # one empty step, so that there is a checkpoint
    assert method.unlabeled_quantiles.isfinite().all()


def test_the_learning_rate_rises_then_falls_to_zero(data: LogDataModule):
    method = build_method("mean_log_likelihood", data, learning_rate=0.1, warm_up=0.2)
    fit = trainer(max_epochs=10)  # 30 steps
    rates = []

    class Rates(type(method)):
        def on_train_batch_end(self, *_):
            rates.append(self.optimizers().param_groups[0]["lr"])

    method.__class__ = Rates
    fit.fit(method, datamodule=data)
    assert rates[:4] == pytest.approx([0.1 * (step + 2) / 6 for step in range(4)])  # a sixth more at each step
    assert (np.diff(rates[4:]) < 0).all()  # where the cosine is lower
    assert rates[-1] == pytest.approx(0, abs=1e-12) and rates[14] == pytest.approx(0.05)  # the cosine's middle


@pytest.mark.parametrize(
    "limits",
    [
        {"max_epochs": 10},
        {"max_epochs": 10, "max_steps": 13},
        {"max_epochs": 2, "max_steps": 13},
        {"max_epochs": -1, "max_steps": 13},
        {"max_epochs": 4, "limit_train_batches": 2},
        {"max_epochs": 4, "limit_train_batches": 0.7},
        {"max_epochs": 4, "accumulate_grad_batches": 2},
    ],
    ids=str,
)
def test_the_steps_of_a_run_are_those_that_lightning_estimates(limits: dict, data: LogDataModule):
    fit = trainer(**limits)
    counted = []

    class Counting(Lengths):
        def configure_optimizers(self):
            counted.append((num_steps(self.trainer), self.trainer.estimated_stepping_batches))

        def training_step(self, batch: LineBatch, batch_idx: int) -> None:
            self.trainer.should_stop = True

    fit.fit(Counting(), datamodule=data)
    assert counted[0][0] == counted[0][1] and isinstance(counted[0][0], int)
