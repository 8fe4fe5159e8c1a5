"""What a search runs over: events, what of them is indexed, the time it is, and commands of the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scorer.splunk_preview.conf import Conf
from scorer.splunk_preview.language.values import Row, Value, number

Rows = Sequence[Row]
#: A command of the caller's own: (arguments as written, rows) -> rows.
Hook = Callable[[str, Rows], Rows]


@dataclass(frozen=True)
class Environment:
    """The world of a search: events, time, and commands of others.

    ``events``: rows with ``_time`` as searches see them. ``indexed``: the same for tstats, by indexed fields alone.

    ``now``: epoch second of the search's start. ``hooks``: command name -> what runs it, such as ``qscore``.
    """

    events: Rows = ()
    indexed: Rows = ()
    macros: Conf = field(default_factory=dict)
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    now: float = 0.0


def newest_first(events: Rows) -> list[Row]:
    """Sort events into the order in which Splunk returns them."""
    return sorted(events, key=lambda row: -float(number(row.get("_time")) or 0))


def hec_rows(events: Sequence[Mapping[str, object]], index_time: float) -> tuple[list[Row], list[Row]]:
    """Turn HEC events into (rows of a search, rows of tstats), both newest first.

    tstats sees the metadata and what was sent in ``fields``, nothing of ``event``. A search has ``event`` as _raw too.
    """
    indexed: list[Row] = []
    full: list[Row] = []
    for event in events:
        row = _indexed(event, index_time)
        indexed.append(row)
        full.append({**row, "_raw": str(event.get("event", ""))})
    return newest_first(full), newest_first(indexed)


def _indexed(event: Mapping[str, object], index_time: float) -> dict[str, Value]:
    row: dict[str, Value] = {"_indextime": index_time}
    time = event.get("time")
    row["_time"] = number(time) if isinstance(time, (str, int, float)) else index_time
    for name in ("host", "source", "sourcetype", "index"):
        if isinstance(value := event.get(name), str):
            row[name] = value
    fields = event.get("fields")
    if isinstance(fields, dict):
        row.update({str(name): _value(value) for name, value in fields.items()})
    return row


def _value(value: object) -> Value:
    if isinstance(value, list):
        return [v for v in value if isinstance(v, str)]
    return value if isinstance(value, str) else None
