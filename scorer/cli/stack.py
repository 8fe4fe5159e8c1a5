"""`qscore up` and `qscore status`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from scorer.registry.cards import CardStore
from scorer.service.client.local import local_client
from scorer.service.queue.broker import shown_url
from scorer.service.queue.exchange import QueueState
from scorer.service.queue.lanes import LANES, Lanes
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.supervisor import Child
from scorer.service.stack.up import Stack, exchange_of, model_lines, read_state
from scorer.wire.errors import QScoreError

_COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "stopped": "dim"}


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
    settings = _with_options(workers, port, qpu)
    console = Console()
    with Stack.prepare(settings) as stack:
        typer.echo(f"starting in {settings.home}; Ctrl-C stops everything")
        with _display(console) as show:
            stack.run(show)
        typer.echo("stopping")
    typer.echo("stopped; nothing is left running")


def status() -> None:
    """Show gateway, queue, workers and models. Exit code 0 when batches can be scored, 1 when not.

    \b
    Example:
      qscore status || echo 'no batch can be scored'
    """
    settings = load_settings()
    checks = [_gateway_check(settings), _queue_check(settings), _model_check(settings)]
    for good, line in checks:
        sign = "[green]ok  [/green]" if good else "[red]FAIL[/red]"
        Console().print(f"{sign} {escape(line)}", highlight=False)
    if not all(good for good, _line in checks):
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
    """Says what changed, once."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._ready = False

    def show(self, stack: Stack) -> None:
        for child in stack.children:
            text = f"{child.spec.name}: {child.state}" + (f", process {child.pid}" if child.pid else "")
            if self._said.get(child.spec.name) != text and child.state != "stopped":
                self._said[child.spec.name] = text
                typer.echo(text)
        if stack.ready and not self._ready:
            for line in model_lines(stack.settings):
                typer.echo(f"model {line}")
            # The last line of a start: who waits for the stack waits for it.
            typer.echo(f"ready: {stack.state.url} (CA: {stack.state.ca_file or 'your own'})")
        self._ready = stack.ready


class _Board:
    """Redraws a table once a second."""

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
    table.caption = f"CA for callers: {stack.state.ca_file or 'your own'}; Ctrl-C stops everything"
    return table


def _cells(child: Child) -> tuple[str, ...]:
    up_for = f"{time.monotonic() - child.started:.0f} s" if child.pid else ""
    colour = _COLOURS[child.state]
    return (child.spec.name, f"[{colour}]{child.state}[/{colour}]", str(child.pid or ""), str(child.restarts), up_for)


def _queue_cells(settings: Settings) -> tuple[str, ...]:
    try:
        return (_depths(exchange_of(settings).state()),)
    except QScoreError:
        return ("does not answer",)


def _gateway_check(settings: Settings) -> tuple[bool, str]:
    try:
        with local_client(settings, timeout=5.0) as client:
            client.models()
            url = read_state(settings)
    except QScoreError as error:
        return False, f"gateway: {error.sentence()}"
    return True, f"gateway: {url.url if url else ''}"


def _queue_check(settings: Settings) -> tuple[bool, str]:
    try:
        state = exchange_of(settings).state()
    except QScoreError as error:
        return False, f"queue: {shown_url(settings)}: {error.sentence()}"
    return queue_line(settings, state)


def queue_line(settings: Settings, state: QueueState, lanes: Lanes = LANES) -> tuple[bool, str]:
    """Say whether somebody works on every lane that is wanted here, and what waits."""
    for lane in lanes:
        if lane.wanted(settings) and state.workers[lane.name] == 0:
            return False, f"queue: {shown_url(settings)} answers, but {lane.silence.status}"
    return True, f"queue: {shown_url(settings)}; {_depths(state, lanes)}"


def _model_check(settings: Settings) -> tuple[bool, str]:
    try:
        store = CardStore(settings.registry, settings.trusted_keys)
        live = [store.card(name) for name in store.names()]
    except QScoreError as error:
        return False, f"models: {error.sentence()}"
    if not live:
        return False, "models: none yet. `qscore train --model lateral` trains a starter."
    names = (f"{card.name} {card.version}{' (starter: generated rows)' if card.starter else ''}" for card in live)
    return True, f"models: {', '.join(names)}"


def _depths(state: QueueState, lanes: Lanes = LANES) -> str:
    """Say what waits and who works; a lane for special models is named where somebody works on it."""
    waiting = ", ".join(f"{queue} {count}" for queue, count in state.waiting.items())
    shown = [lane for lane in lanes if lane.takes is None or state.workers[lane.name]]
    workers = ", ".join(f"{state.workers[lane.name]} {lane.counted_as}" for lane in shown)
    return f"waiting: {waiting}; workers: {workers}"
