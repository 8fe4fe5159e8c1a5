"""`qscore dead`: scores that no sink took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.delivery.dead_letters import DeadLetter, DeadLetters
from scorer.delivery.replay import ReplayResult, replay, summed, waiting, written_to
from scorer.delivery.sink import Sink
from scorer.delivery.stored_rows import row_objects
from scorer.service.access.audit import audited
from scorer.service.settings import load_settings
from scorer.service.worker.sinks import make_sink
from scorer.wire.errors import BadOption, DeliveryFailed

_Sink = Annotated[str | None, typer.Option(help="Only letters of this sink (hec, file, elastic, elastic:<namespace>).")]


def register(app: typer.Typer) -> None:
    """Add `qscore dead` to the command line."""
    group = typer.Typer(help="Scores that no sink took: list, replay, purge.", no_args_is_help=True)
    group.command("list")(_list)
    group.command("replay")(_replay)
    group.command("purge")(_purge)
    app.add_typer(group, name="dead")


def _list(
    sink: _Sink = None,
    limit: Annotated[int, typer.Option(help="Letters to show at most.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show dead letters, oldest first.

    \b
    Example:
      qscore dead list --sink elastic --limit 10
    """
    store = DeadLetters(load_settings().dead_letters)
    letters = store.list(sink, limit)
    if as_json:
        for letter in letters:
            terminal.say(json.dumps(_as_dict(letter)))
        return
    console = terminal.console()
    total = sum(store.counts(sink).values())
    if letters:
        console.print(_table(letters))
    more = f" ({len(letters)} shown)" if len(letters) < total else ""
    console.print(Text(f"{total} dead letters{more}" if total else "no dead letters"))


def _table(letters: Sequence[DeadLetter]) -> Table:
    table = Table("number", "sink", "last failed", "attempts", "model", "entities", "reason")
    for letter in letters:
        model, entities = _about(letter)
        cells = [
            letter.number,
            letter.sink,
            _when(letter.last_at),
            letter.attempts,
            model,
            entities,
            letter.fault or letter.reason,
        ]
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def _about(letter: DeadLetter) -> tuple[str, str]:
    """Model and entities, empty where the letter cannot be read."""
    row = _row(letter)
    if row is None:
        return "", ""
    return row["model"], " ".join(f"{name}={value}" for name, value in row["entities"].items())


def _row(letter: DeadLetter) -> dict[str, Any] | None:
    return None if letter.rows is None else next(row_objects(letter.rows))


def _as_dict(letter: DeadLetter) -> dict[str, object]:
    return {
        "number": letter.number,
        "sink": letter.sink,
        "qscore_id": letter.qscore_id,
        "reason": letter.reason,
        "first_at": letter.first_at,
        "last_at": letter.last_at,
        "attempts": letter.attempts,
        "row": _row(letter),
        "fault": letter.fault,
    }


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _replay(
    sink: _Sink = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
) -> None:
    """Send dead letters to their sink again; each goes from here only once the sink has confirmed it.

    \b
    Examples:
      qscore dead replay --dry-run
      qscore dead replay
    """
    settings = load_settings()
    store = DeadLetters(settings.dead_letters)
    names = (sink,) if sink else written_to(settings.sink, settings.elastic.configured)
    counts, console = waiting(store, names), terminal.console()
    total = sum(counts.values())
    if dry_run or not total:
        console.print(Text(f"{total} dead letters would be sent to the sink {' and '.join(names)}"))
        return
    with audited(settings, "dead_replayed", sinks=names, letters=total) as note:
        result = summed([_replay_one(store, make_sink(settings, one), count) for one, count in counts.items()])
        note.facts |= {"sent": result.sent, "refused": result.refused, "left": result.left}
    console.print(Text(f"{result.sent} sent, {result.refused} refused again, {result.left} left"))
    if result.left or result.refused:
        raise DeliveryFailed(result.reason)


def _replay_one(store: DeadLetters, target: Sink, count: int) -> ReplayResult:
    columns = (TextColumn(f"sending to {target.name}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(stderr=True)) as progress:
        task = progress.add_task("sending", total=count)
        return replay(store, target, lambda done: progress.update(task, completed=done))


def _purge(
    sink: _Sink = None,
    older_than_days: Annotated[float | None, typer.Option(help="Only letters that last failed before.", min=0)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete.")] = False,
) -> None:
    """Delete dead letters for good.

    \b
    Example:
      qscore dead purge --older-than-days 30 --yes
    """
    if not yes:
        raise BadOption("purging deletes scores for good", "Add --yes.")
    settings = load_settings()
    with audited(settings, "dead_purged", sink=sink, older_than_days=older_than_days) as note:
        deleted = DeadLetters(settings.dead_letters).purge(sink, older_than_days)
        note.facts["letters"] = deleted
    terminal.console().print(Text(f"{deleted} dead letters deleted"))
