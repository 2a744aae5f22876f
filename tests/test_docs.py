"""What README, docs and docstrings tell a user to type is accepted by the program."""

import re
import shlex
from pathlib import Path

import pytest

from lit_unlearn import config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "lit_unlearn").rglob("*.py"))


def commands() -> list[tuple[str, str, list[str]]]:
    """(page, program, overrides) of each command that is not shown as an example of an error."""
    found = []
    for page in PAGES:
        for program, rest in re.findall(
            r"^[^$\n]*-m lit_unlearn\.(fit|evaluate)( [^`\n]*)", page.read_text(), re.MULTILINE
        ):
            words = shlex.split(rest.replace("'", "").replace('"', ""), comments=True)
            overrides = [word for word in words if re.fullmatch(r"[\w.]+=\S+", word)]
            if (
                overrides
                and not {"--config-dir", "experiment=..."} & set(words)
                and "=..." not in rest
                and "{" not in rest
            ):
                found.append((page.relative_to(ROOT).as_posix(), program, overrides))
    return found


@pytest.mark.parametrize(("page", "program", "overrides"), commands())
def test_a_documented_command_is_accepted(page: str, program: str, overrides: list[str]):
    placeholders = ("NAME", "FILE", "PATH")
    if any(override.endswith(placeholders) for override in overrides):
        pytest.skip("a placeholder, not a command")
    assert config.check(config.compose(overrides, program), program) == []


def test_commands_are_found_in_every_place():
    pages = {page for page, _, _ in commands()}
    assert {"README.md", "docs/anomaly.md", "docs/runs.md", "lit_unlearn/methods/anomaly/pu_svdd.py"} <= pages


def test_links_and_pictures_are_there():
    for page in PAGES:
        if page.suffix == ".md":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_starts_with_the_two_commands_the_gate_runs():
    readme, gate = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for heading, program in (("Run it", "lit_unlearn.fit"), ("Test it", "pytest")):
        assert f'command_under "{heading}"' in gate
        command = re.search(rf"^## {heading}\n+```bash\n(.*?)\n```", readme, re.MULTILINE | re.DOTALL)
        assert command is not None
        assert program in command[1]
        assert "-c constraints.txt" in command[1]
