"""Models and data that tests of the llm suite share."""

from typing import Any

import pytest
from lightning import LightningModule

from lit_unlearn.networks.causal_lm import load_causal_lm
from tests.llm_data import model_folder, small_unlearning

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
