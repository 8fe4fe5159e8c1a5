"""What splunkd does around a search command in a pipeline: hands it the fields it asked for, merges what comes back."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from demo.standins.search_process import CommandEnded, SearchProcess

CHUNK_ROWS = 50_000

Row = Mapping[str, Any]


class SearchStopped(Exception):
    """The command ended the search; the text is what Splunk shows."""


def run_command(
    command: Sequence[str],
    arguments: str,
    rows: Sequence[Row],
    tell: Callable[[str, str], None] = lambda _level, _text: None,
    environment: Mapping[str, str] | None = None,
    **searchinfo: Any,
) -> list[dict[str, Any]]:
    """Rows of a search through a chunked command, with the columns that it added.

    ``arguments``: as written after the command's name. ``tell(level, text)`` hears its messages. Raises SearchStopped
    where the command stops the search or gives back another number of rows.
    """
    with SearchProcess(command, environment) as process:
        information = process.getinfo(shlex.split(arguments), **searchinfo)
        _pass_on(information.messages, tell)
        wanted = information.metadata.get("required_fields", ["*"])
        merged: list[dict[str, Any]] = []
        starts = range(0, max(1, len(rows)), CHUNK_ROWS)
        for start in starts:
            part = rows[start : start + CHUNK_ROWS]
            sent = _sent_fields(part, wanted)
            try:
                answer = process.execute(to_csv(part, sent), finished=start == starts[-1])
            except CommandEnded as ended:
                raise SearchStopped(str(ended)) from None
            _pass_on(answer.messages, tell)
            merged += _merged(part, sent, answer.body)
        process.finish()
    return merged


def _pass_on(messages: Sequence[tuple[str, str]], tell: Callable[[str, str], None]) -> None:
    for level, text in messages:
        if level == "ERROR":
            raise SearchStopped(text)
        tell(level, text)


def _sent_fields(rows: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """The fields that occur in ``rows`` and were asked for, in the order in which they occur."""
    present = dict.fromkeys(name for row in rows for name in row)
    return [name for name in present if "*" in wanted or name in wanted]


def to_csv(rows: Sequence[Row], names: Sequence[str]) -> bytes:
    """A chunk's body as splunkd writes it: several values of a field stand on lines of their own, and in ``__mv_``."""
    if not rows or not names:
        return b""
    several = [name for name in names if any(isinstance(row.get(name), list) for row in rows)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*names, *(f"__mv_{name}" for name in several)])
    for row in rows:
        writer.writerow([*(_cell(row.get(name)) for name in names), *(_encoded(row.get(name)) for name in several)])
    return stream.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(_cell(part) for part in value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _encoded(value: Any) -> str:
    if not isinstance(value, list):
        return ""
    return ";".join("$" + _cell(part).replace("$", "$$") + "$" for part in value)


def _merged(rows: Sequence[Row], sent: Sequence[str], body: bytes) -> list[dict[str, Any]]:
    """Splunkd's merge: what the command added joins the row at the same place."""
    if not rows:
        return []
    answered = list(csv.DictReader(io.StringIO(body.decode())))
    if len(answered) != len(rows):
        raise SearchStopped(f"{len(rows)} rows went to the command and {len(answered)} came back")
    return [
        {**row, **{name: value for name, value in new.items() if name not in sent}}
        for row, new in zip(rows, answered, strict=True)
    ]
