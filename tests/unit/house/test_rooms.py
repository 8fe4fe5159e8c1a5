"""The house stays in order: rooms of a size to walk through, and one door where there shall be one."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Python files that one folder holds at most; more get rooms of their own.
MOST_FILES = 15
PACKAGES = ("qscore", "scorer", "splunk_app", "elastic_connector")


def _tracked(repository: Path, *patterns: str) -> list[Path]:
    """The checkout's files, not what lies about beside them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    said = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in said.splitlines() if (repository / line).is_file()]


def test_no_folder_is_a_drawer(repository: Path) -> None:
    files = Counter(path.parent for path in _tracked(repository, "*.py"))
    assert len(files) > 40
    assert {str(folder): count for folder, count in files.items() if count > MOST_FILES} == {}


def _modules(repository: Path) -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            yield path.relative_to(repository), ast.parse(path.read_text())


def test_modules_say_what_they_are_for(repository: Path) -> None:
    silent = [str(path) for path, tree in _modules(repository) if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_a_package_is_one(repository: Path, package: str) -> None:
    folders = {path.parent for path in _tracked(repository, f"{package}/**/*.py", f"{package}/*.py")}
    assert folders
    assert [str(folder) for folder in folders if not (repository / folder / "__init__.py").is_file()] == []


def test_the_table_of_rooms_is_the_tree(repository: Path) -> None:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    named = {Path(name) for row in rows for name in re.findall(r"`([\w/]+)/`", row)}
    found = {path.parent for path in _tracked(repository, "*.py")}
    rooms = {folder for folder in found if folder.parent.name in ("scorer", "elastic_connector", "service")}
    outermost = {Path(folder.parts[0]) for folder in found if folder.parts} - {Path("scorer")}
    assert len(rooms) > 20
    assert named == {room for room in rooms if "tests" not in room.parts} | outermost | {Path("default"), Path("docs")}
