"""`import qscore`: its names, what they load, and what is said where something is not installed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import qscore
from scorer.library.lazy import NAMES, missing


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_is_there_and_comes_from_where_it_is_said_to(name: str) -> None:
    found = getattr(qscore, name)
    assert found.__module__ == NAMES[name]
    assert found.__doc__


def test_type_checkers_and_python_see_the_same_names(repository: Path) -> None:
    tree = ast.parse((repository / "qscore" / "__init__.py").read_text("utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.asname: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert typed == NAMES
    assert set(qscore.__all__) == {*NAMES, "__version__"} == set(dir(qscore))


def test_the_package_re_exports_and_defines_nothing(repository: Path) -> None:
    tree = ast.parse((repository / "qscore" / "__init__.py").read_text("utf-8"))
    kinds = {type(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    assert kinds == {ast.Expr, ast.ImportFrom, ast.If, ast.Assign}
    assert [path.name for path in sorted((repository / "qscore").iterdir()) if path.name != "__pycache__"] == [
        "__init__.py",
        "py.typed",
    ]


def test_the_version_is_that_of_the_project(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert qscore.__version__ == project["version"]


def test_other_names_are_none() -> None:
    with pytest.raises(AttributeError, match="module 'qscore' has no attribute 'QSVC'"):
        _ = qscore.QSVC  # type: ignore[attr-defined]


def test_scoring_loads_no_scikit_learn() -> None:
    said = run(
        "import qscore, sys; qscore.load_model; qscore.zz(3).plan; print({'sklearn', 'scipy'} & set(sys.modules))"
    )
    assert said.stdout.strip() == "set()", said.stderr


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("sklearn", "FidelityKernel", "pip install 'qscore[train]'"),
        ("sklearn", "QuantumKernelClassifier", "pip install 'qscore[train]'"),
    ],
)
def test_what_is_not_installed_is_named(module: str, name: str, remedy: str) -> None:
    said = run(f"import sys; sys.modules[{module!r}] = None; import qscore; qscore.zz(2); qscore.{name}")
    last = said.stderr.splitlines()[-1]
    assert last == f"ImportError: qscore.{name} needs {module}, which is not installed: {remedy}"


def test_of_what_no_extra_brings_the_distribution_is_named() -> None:
    error = missing("qscore.score", ModuleNotFoundError("no", name="polars.frame"))
    assert str(error) == "qscore.score needs polars, which is not installed: pip install polars"
