"""JSON and TOML that nest without end are refused by name wherever they are read: RecursionError is no ValueError."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorer.rows.recipe_files import recipe_for
from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import load_settings
from scorer.wire.errors import BadTrainingData, ConfigurationError

PACKAGES = ("scorer", "splunk_app", "elastic_connector")
#: Readers of what the program itself ships or has just written.
OWN = {
    "elastic_connector/install/asset_files.py",
    "elastic_connector/install/dashboard.py",
    "elastic_connector/install/rules.py",
    "elastic_connector/install/score_fields.py",
    "scorer/rows/recipe/__init__.py",
}
READERS = {f"{module}.{name}" for module in ("json", "tomllib") for name in ("load", "loads")}
DEEP = "[" * 60_000


def _loads(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
            yield node


def _guarded(tree: ast.AST) -> set[ast.Call]:
    """Calls under a handler that names RecursionError, or every Exception."""
    found: set[ast.Call] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            caught = " ".join(ast.unparse(one.type) for one in node.handlers if one.type is not None)
        elif isinstance(node, ast.With):
            caught = " ".join(ast.unparse(one.context_expr) for one in node.items)
        else:
            continue
        if {"RecursionError", "Exception"} & set(re.findall(r"\w+", caught)):
            found |= {call for part in node.body for call in _loads(part)}
    return found


def test_every_reader_of_json_and_toml_expects_endless_nesting(repository: Path) -> None:
    bare, count = [], 0
    for path in sorted(path for package in PACKAGES for path in (repository / package).rglob("*.py")):
        name, tree = str(path.relative_to(repository)), ast.parse(path.read_text(encoding="utf-8"))
        calls = list(_loads(tree))
        count += len(calls)
        if name not in OWN:
            bare += [f"{name}:{call.lineno}" for call in calls if call not in _guarded(tree)]
    assert count > 15
    assert bare == []


def test_nested_settings_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qscore.toml").write_text(f"sink = {DEEP}")
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings()


def test_a_nested_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(f"name = {DEEP}")
    with pytest.raises(BadTrainingData, match="no TOML"):
        recipe_for(None, tmp_path / "r.toml")


@pytest.mark.parametrize("content", [DEEP, '{"keys": [{"id": "a", "sha256": "%s", "scopes": [], "created": 1%s}]}'])
def test_a_damaged_file_of_keys_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "api_keys.json"
    path.write_text(content % ("a" * 64, "0" * 400) if "%s" in content else content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="cannot be read as a list of keys"):
        KeyFile(path).keys()
