"""`qscore elastic backfill`, `rescore` and `reconcile`: documents that are there already."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from scorer.cli import terminal
from scorer.elastic_client.extra import elastic_extra
from scorer.elastic_client.moments import Millis, given_time, iso
from scorer.elastic_client.settings import ElasticSource
from scorer.service.client.local import local_client
from scorer.service.queue.exchanges import durable_exchange
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import BadOption

if TYPE_CHECKING:
    from elastic_connector.history.backfill import HistoryScope
    from elastic_connector.history.source_history import History
    from elastic_connector.history.unscored import Tally

SourceName = Annotated[str, typer.Option("--source", help="Name of the source in qscore.toml.")]
From = Annotated[
    str | None, typer.Option("--from", help="Time of the first documents: 2026-01-31T08:15:00Z, 7d, 12h, beginning.")
]
To = Annotated[str, typer.Option("--to", help="Time before which the last documents lie, given as --from is, or now.")]
Version = Annotated[str | None, typer.Option(help="Version of the model; default: the source's.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without it, what would be done is counted.")]
_LONGEST_WAIT = 5.0


def register(group: typer.Typer) -> None:
    """Add the three commands."""
    group.command("backfill")(_backfill)
    group.command("rescore")(_rescore)
    group.command("reconcile")(_reconcile)


def _backfill(
    source: SourceName, since: From = None, to: To = "now", version: Version = None, yes: Yes = False
) -> None:
    """Score the documents of a time that have no score yet. Live scoring goes first; stopped, it goes on where it was.

    Counts what would be sent, and sends it with --yes. Times are the documents' own (@timestamp).

    \b
    Examples:
      qscore elastic backfill --source authentication --from 7d
      qscore elastic backfill --source authentication --from 7d --yes
    """
    if since is None:
        raise BadOption("--from is missing", "Say from when: --from 2026-01-31, or --from 7d.")
    with _history(source, version) as history:
        scope = _scope(history, since, to, None)
        if yes:
            _send(history, scope)
        else:
            _count(history, scope)


def _rescore(source: SourceName, since: From = None, to: To = "now", version: Version = None, yes: Yes = False) -> None:
    """Score with the model's present version what its earlier versions have scored. The earlier scores stay.

    Begins at the first score of the model in any version, unless --from says otherwise. Counts; sends with --yes.

    \b
    Example:
      qscore elastic rescore --source authentication --from 30d --yes
    """
    with _history(source, version) as history:
        first = history.earliest(of_scores=True)
        if first is None and since is None:
            raise BadOption(f"no version of {history.card.name} has scored anything yet", "Use backfill with --from.")
        scope = _scope(history, since, to, first)
        if yes:
            _send(history, scope)
        else:
            _count(history, scope)


def _reconcile(
    source: SourceName,
    since: From = None,
    to: To = "now",
    version: Version = None,
    fix: Annotated[bool, typer.Option("--fix", help="Send the documents that have no score; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: do not ask.")] = False,
) -> None:
    """Compare a source with its scores: documents without a score, scores without a document, duplicates.

    Exit code 0: every document has exactly one score; 1: not so.

    \b
    Example:
      qscore elastic reconcile --source authentication --from 7d --to 1d --fix
    """
    with _history(source, version) as history:
        scope = _scope(history, since, to, history.earliest(of_scores=False))
        console = terminal.console()
        with _counting(console) as show:
            found = history.reconcile(scope, show)
        _tell_scope(history, scope)
        tally = found.tally
        terminal.say(f"rows: {tally.rows}, with a score: {tally.scored}, without: {tally.lacking}")
        terminal.say(f"scores: {found.scores}, without a document: {found.orphans}, duplicates: {tally.duplicates}")
        _tell_unidentified(tally)
        for known in found.examples:
            terminal.say(f"  without a document, such as {known}")
        if fix and tally.lacking and (yes or typer.confirm(f"Send {tally.lacking} rows?")):
            _send(history, scope)
            return
        if not found.clean:
            raise typer.Exit(1)


@contextmanager
def _history(name: str, version: str | None) -> Iterator[History]:
    settings = load_settings()
    source = _source(settings, name)
    with elastic_extra():
        from elastic_connector.history.source_history import History
        from elastic_connector.lead.batches import Queues
        from elastic_connector.lead.cards import CARD_SECONDS, gateway_cards
        from scorer.elastic_client.client import connect
        from scorer.elastic_client.clock import ServerClock
    cards = gateway_cards(settings, lambda: local_client(settings, CARD_SECONDS))
    card = cards(source.model, version or source.version)
    exchange = durable_exchange(settings, longest_wait=_LONGEST_WAIT)
    client = connect(settings.elastic)
    try:
        yield History(client, settings.elastic, source, card, ServerClock(client), Queues.of(settings, exchange))
    finally:
        client.close()
        exchange.client.close()


def _source(settings: Settings, name: str) -> ElasticSource:
    for source in settings.elastic.sources:
        if source.name == name:
            return source
    known = ", ".join(source.name for source in settings.elastic.sources) or "none"
    raise BadOption(f"there is no source {name[:80]!r}", f"In [[elastic.sources]] of qscore.toml: {known}.")


def _scope(history: History, since: str | None, to: str, first: Millis | None) -> HistoryScope:
    if since is None and first is None:
        raise BadOption(f"the source {history.source.name} holds no documents", "Give --from, or wait for documents.")
    now = history.clock.millis()  # the server's: by a clock of ours that is off, the range would be another
    low = given_time(since).by(now) if since is not None else first or Millis(0)
    return history.scope(low, given_time(to).by(now))


def _count(history: History, scope: HistoryScope) -> None:
    """Count and print what would be done."""
    with _counting(terminal.console()) as show:
        tally = history.count(scope, show)
    _tell_scope(history, scope)
    terminal.say(f"rows: {tally.rows}, with a score: {tally.scored}, to be sent: {tally.lacking}")
    _tell_unidentified(tally)
    terminal.say("Nothing was sent; add --yes." if tally.lacking else "Nothing is left to be done.")


def _send(history: History, scope: HistoryScope) -> None:
    """Do it, with a bar; Ctrl-C ends it where it is."""
    stopped = Event()
    before = signal.signal(signal.SIGINT, lambda _number, _frame: stopped.set())
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=terminal.console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=scope.high - scope.low)

            def show(progress: object) -> None:
                from elastic_connector.history.backfill import Progress as State

                if isinstance(progress, State):
                    waiting = f", waits {progress.waiting}" if progress.waiting else ""
                    told = f"{progress.written} written, {progress.tally.scored} there already{waiting}"
                    bar.update(task, completed=progress.position - scope.low, description=told)

            done = history.backfill(scope, show, stopped)
    finally:
        signal.signal(signal.SIGINT, before)
    _tell_scope(history, scope)
    terminal.say(f"rows: {done.tally.rows}, there already: {done.tally.scored}, written: {done.written}")
    if done.dead:
        terminal.say(f"refused by Elasticsearch: {done.dead}; `qscore dead list` shows them")
    if stopped.is_set():
        terminal.say("Stopped. The same command goes on from here.")
        raise typer.Exit(1)


@contextmanager
def _counting(console: Console) -> Iterator[Callable[[Tally], None]]:
    """Show a line that counts, on a terminal."""
    with console.status("counting ...") as status:
        yield lambda tally: status.update(f"{tally.rows} rows, {tally.lacking} of them without a score ...")


def _tell_scope(history: History, scope: HistoryScope) -> None:
    grain = "windows" if history.card.grain == "window" else "documents"
    terminal.say(f"{grain} of {scope.source} from {iso(scope.low)} to {iso(scope.high)}, {scope.model} {scope.version}")


def _tell_unidentified(tally: Tally) -> None:
    if tally.unidentified:
        terminal.say(f"rows without a time or a key, which cannot be scored once only: {tally.unidentified}")
