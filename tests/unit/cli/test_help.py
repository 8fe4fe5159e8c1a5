"""Every command's help teaches by an example that the command would take."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from scorer.cli.main import build

APP = build()
ROOT: Any = typer.main.get_command(APP)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all commands that have no commands of their own."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path
        return
    for name, one in below.items():
        yield from leaves(one, (*path, name))


def command_at(path: tuple[str, ...]) -> Any:
    found = ROOT
    for name in path:
        found = found.commands[name]
    return found


def examples(path: tuple[str, ...]) -> list[list[str]]:
    """The words of each example in what `--help` prints; a pipe or `&&` ends one."""
    printed = CliRunner().invoke(APP, [*path, "--help"], terminal_width=200)
    assert printed.exit_code == 0, printed.output
    before, _, after = printed.output.partition("Example")
    lines = [line.strip() for line in after.splitlines()[1:]]
    lines = lines[: lines.index("")]
    words = [shlex.split(line) for line in lines]
    assert words, before
    return [one[: next((n for n, word in enumerate(one) if set(word) <= set("|&")), len(one))] for one in words]


PATHS = sorted(leaves(ROOT))


def test_all_topics_are_there() -> None:
    assert {path[0] for path in PATHS} >= {
        "up",
        "status",
        "score",
        "models",
        "train",
        "key",
        "dead",
        "splunk",
        "elastic",
    }


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_shows_an_example_of_itself(path: tuple[str, ...]) -> None:
    for words in examples(path):
        assert words[: 1 + len(path)] == ["qscore", *path]
        # Parsed, not run: an unknown option or a missing argument raises.
        command_at(path).make_context(path[-1], words[1 + len(path) :])
