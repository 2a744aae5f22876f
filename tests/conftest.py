"""What all tests share."""

import logging
import os
from collections.abc import Iterator

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden/*.json with what is computed now"
    )


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Sums in one order, whatever the machine; small tensors are also faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """Undoes what a run inside the test's process leaves behind."""
    yield
    torch.use_deterministic_algorithms(False)
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
    for name in ("lit_unlearn", "datamodules"):
        logging.getLogger(name).handlers.clear()  # they write to the test's captured output
        logging.getLogger(name).setLevel(logging.NOTSET)
