"""Docstrings of functions open with a verb, and those of functions that raise say which errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3]
ROOMS = ("qscore", "scorer", "splunk_app", "elastic_connector")
#: Functions there are commands: their docstrings are what `--help` prints.
COMMANDS = "scorer/cli/"
CLAUSE = re.compile(r"(what|whether|how|where|which|who|whom|whose|when|why)\b", re.IGNORECASE)
NEIGHBOUR = re.compile(r"(the same\b|as above\b|likewise\b|ditto\b)", re.IGNORECASE)
SAYS = re.compile(r"\b[Rr]aises?\b")


def _modules() -> list[str]:
    return [path.relative_to(PACKAGE).as_posix() for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]


def _public(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Public functions and methods, each with the docstring of its class; not those inside functions."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node, ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (
                (inner, ast.get_docstring(node) or "") for inner in node.body if isinstance(inner, ast.FunctionDef)
            )


def _raised(node: ast.AST) -> Iterator[str]:
    """Errors that a function's own statements raise; handing one on (`raise` alone) is not raising it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.Raise) and child.exc is not None:
            yield ast.unparse(child.exc.func if isinstance(child.exc, ast.Call) else child.exc)
        yield from _raised(child)


def ill_opened(source: str) -> list[str]:
    """Functions whose docstring opens with a clause or leans on a neighbour."""
    return [
        f"line {function.lineno}: {function.name}"
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        and (CLAUSE.match(said := ast.get_docstring(function) or "") or NEIGHBOUR.match(said))
    ]


def silent(source: str) -> list[str]:
    """Public functions that raise and do not say so, in their docstring or that of their class."""
    return [
        f"line {function.lineno}: {function.name} raises {', '.join(sorted(raised))}"
        for function, about in _public(ast.parse(source))
        if not function.name.startswith("_")
        and (raised := set(_raised(function)) - {"NotImplementedError"})
        and not SAYS.search((ast.get_docstring(function) or "") + about)
    ]


@pytest.mark.parametrize("module", _modules())
def test_docstrings_of_functions_open_with_a_verb(module: str) -> None:
    assert ill_opened((PACKAGE / module).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", [name for name in _modules() if not name.startswith(COMMANDS)])
def test_functions_that_raise_name_their_errors(module: str) -> None:
    assert silent((PACKAGE / module).read_text(encoding="utf-8")) == []


def test_most_modules_are_looked_at() -> None:
    assert len(_modules()) > 150


@pytest.mark.parametrize("opening", ["Whether it is so.", "What is kept.", "the same for the first run.", "As above."])
def test_an_opening_that_is_no_verb_is_seen(opening: str) -> None:
    assert ill_opened(f'class A:\n    def of(self):\n        """{opening}"""\n') == ["line 2: of"]


@pytest.mark.parametrize("opening", ["Tell whether it is so.", "Whatever, says a test.", "Howl."])
def test_other_openings_pass(opening: str) -> None:
    assert ill_opened(f'def of():\n    """{opening}"""\n') == []


def test_an_error_of_which_nothing_is_said_is_seen() -> None:
    function = 'def of(a):\n    """Read it."""\n    if a:\n        raise BadOption("no")\n    raise\n'
    assert silent(function) == ["line 1: of raises BadOption"]
    assert silent(function.replace("Read it.", "Read it. Raises BadOption.")) == []
    assert silent(function.replace('BadOption("no")', "NotImplementedError")) == []


def test_a_validating_class_may_say_it_for_its_methods() -> None:
    method = '    def of(self):\n        """Read it."""\n        raise ValueError\n'
    assert silent(f'class A:\n    """A. Every method raises ValueError."""\n{method}') == []
    assert silent(f'class A:\n    """A."""\n{method}') == ["line 3: of raises ValueError"]
