"""`qscore elastic run`: the connector."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli import terminal
from scorer.elastic_client.extra import elastic_extra
from scorer.elastic_client.moments import given_time
from scorer.logs import configure_logs
from scorer.service.client.local import local_client
from scorer.service.settings import load_settings

if TYPE_CHECKING:
    from elastic_connector.lead.status import SourceStatus, StatusBoard

_Since = Annotated[
    str,
    typer.Option(help="Where a source that was never read begins: beginning, now, 7d, 12h, 2026-01-31T08:15:00Z."),
]
_Sources = Annotated[list[str] | None, typer.Option("--source", help="Only this source; may be given several times.")]


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("run")(run)


def run(
    once: Annotated[bool, typer.Option("--once", help="Score what is there, wait until it is written, end.")] = False,
    since: _Since = "beginning",
    source: _Sources = None,
) -> None:
    """Score the documents of the configured sources as they arrive, until Ctrl-C or SIGTERM.

    Start it on several hosts: one leads each source, the others stand by and take over. Scores are written by the
    workers that `qscore up` runs.

    \b
    Examples:
      qscore elastic run
      qscore elastic run --once --source authentication
      qscore elastic run --since now
      qscore elastic run --since 7d
    """
    begin = given_time(since)
    settings = load_settings()
    with elastic_extra():
        from elastic_connector.lead.cards import CARD_SECONDS, gateway_cards
        from elastic_connector.lead.runner import run_connector
    configure_logs("elastic")
    stop = threading.Event()
    _stop_on_signals(stop)
    cards = gateway_cards(settings, lambda: local_client(settings, CARD_SECONDS))
    only = tuple(source or ())
    statuses = run_connector(settings, cards, stop, once=once, since=begin, only=only, ready=_say_ready)
    for status in statuses:
        terminal.say(summary(status))


def summary(status: SourceStatus) -> str:
    """Return one line about what a source came to."""
    totals = status.totals
    text = (
        f"{status.source}: {status.documents} documents read, {totals.written} scores written,"
        f" {totals.already_there} there already, {totals.dead} in the dead letters, {totals.retries} batches sent again"
    )
    return text + (f"; {status.reason}" if status.reason else "")


def _say_ready(board: StatusBoard, port: int) -> None:
    names = ", ".join(status.source for status in board)
    health = f"; health on port {port}" if port else ""
    terminal.say(f"running: {names}{health}")


def _stop_on_signals(stop: threading.Event) -> None:
    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
