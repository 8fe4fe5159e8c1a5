"""The bar of the commands that work long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from scorer.progress import Steps


@contextmanager
def progress_bar(console: Console, *columns: ProgressColumn) -> Iterator[Steps]:
    """Show a bar of these columns that ``steps(text, done, total)`` moves, from its first call on."""
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=None)

    def steps(text: str, done: int, total: int) -> None:
        bar.start()
        bar.update(task, description=text, completed=done, total=total)

    try:
        yield steps
    finally:
        if bar.live.is_started:
            bar.stop()
