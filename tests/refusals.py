"""How tests look at what a user is told who got something wrong: nothing is written, each line is accounted for."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_unlearn.errors import UserError
from lit_unlearn.fit import fit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, without network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def tree() -> dict[str, bytes | None]:
    """All that is in the current directory."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def refused(*overrides: str, program: Callable[[list[str]], object] = fit) -> list[str]:
    """The lines of the error, having checked that nothing was written, changed or removed."""
    before = tree()
    with pytest.raises(UserError) as error:
        program(list(overrides))
    assert tree() == before
    for line in error.value.lines:
        assert "\n" not in line and "Traceback" not in line
    return error.value.lines


def assert_lines(lines: list[str], patterns: list[str]) -> None:
    """Each pattern matches one line from its beginning, and no line is left."""
    left = list(lines)
    for pattern in patterns:
        matching = [line for line in left if re.match(pattern, line)]
        assert len(matching) == 1, f"{pattern}\n" + "\n".join(left)
        left.remove(matching[0])
    assert left == []
