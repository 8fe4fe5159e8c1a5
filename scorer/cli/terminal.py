"""The one place where `qscore` prints: nothing from outside may act on the terminal that shows it.

Errors of a gateway, names of a cluster, dead letters and cards hold what somebody else wrote. Escape sequences,
control characters and marks that turn the direction of text around are replaced by spaces.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import typer
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from scorer.printable import printable_lines


class _Harmless:
    """A renderable whose text is cleaned after it was laid out; colours are rich's own and stay."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


class _Hook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Harmless(one) for one in renderables]


def console(stderr: bool = False) -> Console:
    """Make a console that prints harmless text alone."""
    made = Console(stderr=stderr)
    made.push_render_hook(_Hook())
    return made


def say(text: str, err: bool = False, nl: bool = True) -> None:
    """Print lines of text, harmless, on standard output or standard error."""
    typer.echo(printable_lines(text), err=err, nl=nl)


def data(content: bytes) -> None:
    """Write bytes to standard output: as they are into a file or pipe, harmless onto a terminal."""
    if sys.stdout.isatty():
        content = printable_lines(content.decode("utf-8", "replace")).encode()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
