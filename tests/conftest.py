"""What all tests share."""

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
