"""`qscore audit`: who made, changed or removed what, and whether the record of it is whole."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from scorer.chain import ChainBroken, Entry, Head
from scorer.cli import terminal
from scorer.service.access.audit import EVENTS, record
from scorer.service.settings import load_settings
from scorer.wire.errors import BadOption

_AGO = re.compile(r"(\d{1,6})([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Wanted:
    """Which entries are shown. ``since``: a moment in UTC. ``event``, ``key``: "" for any."""

    since: dt.datetime | None
    event: str
    key: str

    def takes(self, entry: Entry) -> bool:
        """Say whether an entry is one of those asked for."""
        content = entry.content
        keys = {part.get("key") for part in (content.get("by"), content.get("facts")) if isinstance(part, Mapping)}
        return (
            (not self.event or content.get("event") == self.event)
            and (not self.key or self.key in keys)
            and (self.since is None or dt.datetime.fromisoformat(entry.time) >= self.since)
        )


def register(app: typer.Typer) -> None:
    """Add `qscore audit`."""
    group = typer.Typer(help=_show.__doc__, invoke_without_command=True)
    group.callback(help=_show.__doc__)(_show)
    group.command("verify")(_verify)
    group.command("head")(_head)
    app.add_typer(group, name="audit")


def _show(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="From then on: 2026-11-30, 2026-11-30T09:00, or 90m, 12h, 7d ago.")] = "",
    event: Annotated[str, typer.Option(help="Only this event; docs/operations.md lists them.")] = "",
    key: Annotated[str, typer.Option(help="Only what a key did, or what was done to it: its id.")] = "",
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, all that match.")] = False,
) -> None:
    """Show the audit record of this home: keys, promotions, revocations, purges, replays, settings, and who did it.

    \b
    Example:
      qscore audit --since 7d --event key_made
    """
    if context.invoked_subcommand is not None:
        return
    if event and event not in EVENTS:
        raise BadOption(f"{event[:40]!r} is not an event", f"Events are {', '.join(EVENTS)}.")
    wanted = Wanted(_moment(since), event, key)
    found = _found(wanted)
    if as_json:
        for entry in found:
            terminal.say(json.dumps(_as_dict(entry)))
        return
    entries = list(found)
    if entries:
        terminal.console().print(_table(entries[-limit:]))
    more = f" ({limit} shown)" if len(entries) > limit else ""
    terminal.say(f"{len(entries)} entries{more}; `qscore audit verify` says whether the record is whole")


def _verify(
    head: Annotated[
        str, typer.Option(help="A head that `qscore audit head` printed before: nothing up to it may be missing.")
    ] = "",
    after: Annotated[str, typer.Option(help="The head at which files that were moved elsewhere ended.")] = "",
) -> None:
    """Verify the whole record: exit code 0 when no entry was changed, removed, exchanged or inserted, 1 when one was.

    That its end was cut off shows only beside a head that was kept elsewhere.

    \b
    Example:
      qscore audit verify --head "$(cat head.txt)"
    """
    known, begun = (Head.parse(text) if text else None for text in (head, after))
    found = record(load_settings()).verify(known, begun)
    torn = f"; {found.torn} bytes of an unfinished line follow, as a crash leaves them" if found.torn else ""
    kept = "" if known else " (give --head to see that its end is there)"
    terminal.say(f"entries {found.first} to {found.head.number} are as they were written{kept}{torn}")
    terminal.say(f"head {found.head}")


def _head() -> None:
    """Print number and hash of the last entry. Keep it where this machine cannot write: it proves all before it.

    \b
    Example:
      qscore audit head
    """
    terminal.say(str(record(load_settings()).head()))


def _found(wanted: Wanted) -> Iterator[Entry | ChainBroken]:
    """Entries that are wanted, and the faults between them: what cannot be read may be what somebody hides."""
    for entry in record(load_settings()).entries():
        if isinstance(entry, ChainBroken) or wanted.takes(entry):
            yield entry


def _as_dict(entry: Entry | ChainBroken) -> dict[str, Any]:
    if isinstance(entry, ChainBroken):
        return {"number": entry.number, "fault": entry.detail}
    return {"number": entry.number, "time": entry.time, **entry.content, "hash": entry.hash}


def _table(entries: list[Entry | ChainBroken]) -> Table:
    table = Table("number", "time (UTC)", "event", "by", "facts")
    for entry in entries:
        if isinstance(entry, ChainBroken):
            table.add_row(str(entry.number), "", Text("not readable", style="red"), "", Text(entry.detail))
            continue
        content = entry.content
        cells = (str(content.get("event", "")), _words(content.get("by")), _words(content.get("facts")))
        table.add_row(str(entry.number), entry.time[:19].replace("T", " "), *(Text(cell) for cell in cells))
    return table


def _words(part: Any) -> str:
    if not isinstance(part, Mapping):
        return ""
    return " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in part.items())


def _moment(text: str) -> dt.datetime | None:
    if not text:
        return None
    if ago := _AGO.match(text):
        return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadOption(f"--since {text[:40]!r} is no moment", "Give 2026-11-30, 2026-11-30T09:00, or 7d.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
