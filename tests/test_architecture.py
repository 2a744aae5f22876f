"""Rules of the code base that hold for every file, also for those to come."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "lit_unlearn").rglob("*.py"), *(ROOT / "datamodules").rglob("*.py")])
METHODS = [path for path in SOURCES if path.parent.parent.name == "methods" and path.name != "__init__.py"]
SHARED = ("losses", "networks", "metrics", "attacks")
HEAVY = {"sae_lens", "transformer_lens", "diffusers", "transformers", "datasets", "networkx"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules a file imports, and whether at the top level (not in a function or under TYPE_CHECKING)."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def ours(path: Path) -> set[str]:
    return {name for name, _ in imports(path) if name.startswith(("lit_unlearn.", "datamodules."))}


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_imports_what_methods_share_and_its_domain_only(path: Path):
    domain = path.parent.name
    allowed = (
        *(f"lit_unlearn.{package}." for package in SHARED),
        f"lit_unlearn.methods.{domain}.",
        "lit_unlearn.methods.schedule.",
        "lit_unlearn.methods.sparse_logging.",
        "lit_unlearn.concepts.",
        f"datamodules.{domain}.batches.",
        "lit_unlearn.errors.",
    )
    assert [name for name in ours(path) if not name.startswith(allowed)] == []


@pytest.mark.parametrize("package", SHARED)
def test_what_methods_share_imports_nothing_of_ours_but_each_other(package: str):
    allowed = (*(f"lit_unlearn.{other}." for other in SHARED), "lit_unlearn.errors.")
    for path in (ROOT / "lit_unlearn" / package).rglob("*.py"):
        assert [name for name in ours(path) if not name.startswith(allowed)] == [], path


def test_concepts_know_no_method():
    packages = ("concepts", "networks", "metrics", "errors", "report", "reproducibility")
    modules = ("items", "wordings", "batches", "prompt_style")
    allowed = tuple(f"lit_unlearn.{name}." for name in packages) + tuple(f"datamodules.llm.{name}." for name in modules)
    for path in (ROOT / "lit_unlearn" / "concepts").rglob("*.py"):
        assert [name for name in ours(path) if not f"{name}.".startswith(allowed)] == [], path


def test_data_modules_know_no_method():
    for path in (ROOT / "datamodules").rglob("*.py"):
        allowed = ("datamodules.", "lit_unlearn.errors.", "lit_unlearn.reproducibility.")
        assert [name for name in ours(path) if not name.startswith(allowed)] == [], path


def test_evaluation_knows_no_method():
    for path in (ROOT / "lit_unlearn" / "evaluation").rglob("*.py"):
        assert [name for name in ours(path) if name.startswith("lit_unlearn.methods")] == [], path


def test_heavy_libraries_are_imported_where_they_are_used():
    for path in SOURCES:
        assert [name for name, at_top in imports(path) if at_top and name.split(".")[0] in HEAVY] == [], path


def test_one_lightning():
    for path in SOURCES:
        assert [name for name, _ in imports(path) if name.split(".")[0] == "pytorch_lightning"] == [], path


def test_files_are_short_and_ascii():
    for path in SOURCES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{path} is long: split it by idea"
        assert text.isascii(), path
        assert path.stem not in ("utils", "helpers", "misc"), path


def test_nothing_is_loaded_that_could_run_code():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert safe.get("weights_only") == "True" or safe.get("allow_pickle") == "False", (
                    f"{path}:{node.lineno}"
                )
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("pickle.load", "pickle.loads", "eval", "exec"), path


def test_only_config_instantiates():
    for path in SOURCES:
        found = "instantiate(" in path.read_text()
        assert found == (path.name == "nodes.py"), path


def test_losses_and_methods_cite_their_source():
    for path in [*METHODS, *(ROOT / "lit_unlearn" / "losses").glob("*.py")]:
        tree = ast.parse(path.read_text())
        page = ast.get_docstring(tree) or ""
        assert path.name == "__init__.py" or page, path
        for node in tree.body:
            is_loss = isinstance(node, ast.FunctionDef) and path.parent.name == "losses" and path.stem != "reduction"
            if is_loss and not node.name.startswith("_"):
                text = page + (ast.get_docstring(node) or "")
                assert "quation" in text or "eq." in text.lower(), f"{path}: {node.name} cites no equation"


def test_everything_public_has_a_docstring():
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree) or not tree.body, path
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_experiments_leave_the_method_to_the_command_line():
    for path in (ROOT / "experiments" / "experiment").rglob("*.yaml"):
        assert "\nmethod:" not in path.read_text(), (
            f"{path}: values of a pair belong into method/tuned/<data>/<method>.yaml"
        )
