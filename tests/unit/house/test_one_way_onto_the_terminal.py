"""Commands print through `scorer.cli.terminal` alone: what comes from outside never acts on a terminal."""

from __future__ import annotations

import ast
from pathlib import Path

WAYS = {"typer.echo", "typer.secho", "click.echo", "print", "Console", "sys.stdout", "sys.stderr", "rich.print"}


def _ways(tree: ast.Module) -> set[str]:
    """Ways of printing that a module uses; annotations name consoles and print nothing."""
    used = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    used |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return used & WAYS


def test_commands_print_in_one_place(repository: Path) -> None:
    modules = [path for path in (repository / "scorer" / "cli").rglob("*.py") if path.name != "terminal.py"]
    assert len(modules) > 15
    found = {str(path.relative_to(repository)): _ways(ast.parse(path.read_text())) for path in modules}
    assert {path: ways for path, ways in found.items() if ways} == {}, "print with scorer.cli.terminal"


def test_other_ways_are_seen() -> None:
    source = "typer.echo(1)\nConsole(stderr=True).print(2)\nsys.stdout.write('x')\nprint(3)"
    assert _ways(ast.parse(source)) == {"typer.echo", "Console", "sys.stdout", "print"}
