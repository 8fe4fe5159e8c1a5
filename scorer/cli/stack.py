"""`qscore up` and `qscore status`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from scorer.cli import terminal
from scorer.service.client.status import checks, depths
from scorer.service.queue.sealing.exposure import REMEDY, exposures
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.supervisor import Child
from scorer.service.stack.up import Stack, model_lines, queue_of
from scorer.wire.errors import QScoreError

_COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "failing": "red", "stopped": "dim"}


def register(app: typer.Typer) -> None:
    """Add `qscore up` and `qscore status`."""
    app.command("up")(up)
    app.command("status")(status)


def up(
    workers: Annotated[int | None, typer.Option(help="Scoring processes (default: worker.processes, 2).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the gateway (default: gateway.port, 8417).")] = None,
    qpu: Annotated[
        int | None,
        typer.Option(help="Processes for projected models above 12 qubits (default: worker.qpu_processes, 0)."),
    ] = None,
) -> None:
    """Start queue, gateway and workers on this machine and stay with them. Ctrl-C stops them all.

    The first start makes the home folder, an API key for the commands on this machine, and a certificate authority,
    whose ca.pem the gateway's callers need. With broker_url set, no queue server is started: yours is used.

    \b
    Example:
      qscore up --workers 4
    """
    os.umask(0o077)  # what the first start makes is this user's alone
    settings = _with_options(workers, port, qpu)
    console = terminal.console()
    with Stack.prepare(settings) as stack:
        terminal.say(f"starting in {settings.home}; Ctrl-C stops everything")
        for sentence in exposures(settings):
            terminal.say(f"Warning: {sentence}. {REMEDY}", err=True)
        with _display(console) as show:
            stack.run(show)
        terminal.say("stopping")
    terminal.say("stopped; nothing is left running")


def status() -> None:
    """Show gateway, queue, workers and models. Exit code 0 when batches can be scored, 1 when not.

    \b
    Example:
      qscore status || echo 'no batch can be scored'
    """
    found = checks(load_settings())
    for check in found:
        sign = "[green]ok  [/green]" if check.good else "[red]FAIL[/red]"
        sign = "[yellow]warn[/yellow]" if check.warning else sign
        terminal.console().print(f"{sign} {escape(check.line)}", highlight=False)
    if not all(check.good for check in found):
        raise typer.Exit(1)


def _with_options(workers: int | None, port: int | None, qpu: int | None) -> Settings:
    overrides: dict[str, Any] = {}
    processes = {"processes": workers, "qpu_processes": qpu}
    if given := {name: count for name, count in processes.items() if count is not None}:
        overrides["worker"] = given
    if port is not None:
        overrides["gateway"] = {"port": port}
    return load_settings(**overrides)


@contextlib.contextmanager
def _display(console: Console) -> Iterator[Callable[[Stack], None]]:
    """A live table on a terminal; elsewhere one line for every change."""
    if not console.is_terminal:
        yield _Lines().show
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        board = _Board(live)
        yield board.show


class _Lines:
    """Lines about what changed, each said once."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._ready = False

    def show(self, stack: Stack) -> None:
        for child in stack.children:
            text = f"{child.spec.name}: {_state(child)}" + (f", process {child.pid}" if child.pid else "")
            if child.state == "waiting" and child.failing:
                text += f": {child.failing}"
            if self._said.get(child.spec.name) != text and child.state != "stopped":
                self._said[child.spec.name] = text
                terminal.say(text)
        if stack.ready and not self._ready:
            for line in model_lines(stack.settings):
                terminal.say(f"model {line}")
            # The last line of a start: who waits for the stack waits for it.
            terminal.say(f"ready: {stack.state.url} (CA: {stack.state.ca_file or 'your own'})")
        self._ready = stack.ready


class _Board:
    """A table, drawn anew once a second."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._drawn = 0.0

    def show(self, stack: Stack) -> None:
        if time.monotonic() - self._drawn < 1.0:
            return
        self._drawn = time.monotonic()
        self._live.update(_board(stack), refresh=True)


def _board(stack: Stack) -> Table:
    table = Table("process", "state", "pid", "restarts", "up", title=f"qscore: {stack.state.url}")
    for child in stack.children:
        table.add_row(*_cells(child))
    table.add_section()
    table.add_row("queue", *_queue_cells(stack.settings))
    for line in model_lines(stack.settings):
        table.add_row("model", line)
    for child in stack.children:
        if child.failing:
            table.add_row("failing", escape(child.failing))
    table.caption = f"CA for callers: {stack.state.ca_file or 'your own'}; Ctrl-C stops everything"
    return table


def _cells(child: Child) -> tuple[str, ...]:
    up_for = f"{time.monotonic() - child.started:.0f} s" if child.pid else ""
    state = _state(child)
    return (
        child.spec.name,
        f"[{_COLOURS[state]}]{state}[/{_COLOURS[state]}]",
        str(child.pid or ""),
        str(child.restarts),
        up_for,
    )


def _state(child: Child) -> str:
    return "failing" if child.failing and child.state != "ready" else child.state


def _queue_cells(settings: Settings) -> tuple[str, ...]:
    try:
        return (depths(queue_of(settings).state()),)
    except QScoreError:
        return ("does not answer",)
