"""What of a chunk goes to the gateway, and how the chunk looks with the scores pasted on. Pure functions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import repeat
from typing import Dict, List, Mapping, Sequence, Tuple

from scorer.wire.limits import body_limit
from scorer.wire.names import MAX_ROWS, MEDIA_CSV, OUTPUT_COLUMNS
from splunk_app.table import MULTIVALUE_PREFIX, ChunkTable, flatten, quoted

_OUTPUT_HEADER = ",".join(OUTPUT_COLUMNS).encode()
_ADDED_COMMAS = len(OUTPUT_COLUMNS) - 1
#: A request of fewer rows costs more than scoring it in parallel saves.
_LEAST_ROWS = 4_000


@dataclass(frozen=True)
class Selection:
    """The columns of a chunk that the model asks for: where they stand, and the names that they travel under."""

    indexes: Tuple[int, ...]
    header: bytes


@dataclass(frozen=True)
class RequestPart:
    """Rows ``start`` to ``stop`` of a chunk as one request body: text/csv with a header line, LF line ends."""

    start: int
    stop: int
    body: bytes

    @property
    def rows(self) -> int:
        return self.stop - self.start


def select(
    names: Sequence[str], columns: Sequence[str], features: Sequence[str], fields: Mapping[str, str]
) -> Selection:
    """Find the model's ``columns`` among a chunk's ``names``.

    ``fields``: the model's column -> own name. A name that occurs twice is taken twice: the worker says so on every
    row. Of ``features``, the multivalue companions (``__mv_``) travel too, so that a worker can tell 3 and 5 from 35.
    """
    by_own: Dict[str, List[str]] = {}
    for column in columns:
        by_own.setdefault(fields.get(column, column), []).append(column)
        if column in features:
            own = MULTIVALUE_PREFIX + fields.get(column, column)
            by_own.setdefault(own, []).append(MULTIVALUE_PREFIX + column)
    picked = [(index, column) for index, name in enumerate(names) for column in by_own.get(name, ())]
    return Selection(tuple(index for index, _ in picked), b",".join(quoted(column) for _, column in picked))


def ranges(rows: int, lanes: int) -> List[Tuple[int, int]]:
    """Cut a chunk into (start, stop) of requests, in order: one for each lane, none too small or too large."""
    count = max(1, min(lanes, rows // _LEAST_ROWS))
    size = max(1, min(MAX_ROWS, -(-rows // count)))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]


def split(table: ChunkTable, selection: Selection, start: int, stop: int) -> List[RequestPart]:
    """Write rows ``start`` to ``stop`` as one request body, or as several where one would be too many bytes."""
    body = _body(table, selection, start, stop)
    if len(body) <= body_limit(stop - start, MEDIA_CSV) or stop - start == 1:
        return [RequestPart(start, stop, body)]
    middle = (start + stop) // 2
    return split(table, selection, start, middle) + split(table, selection, middle, stop)


def _body(table: ChunkTable, selection: Selection, start: int, stop: int) -> bytes:
    lines = table.cut(selection.indexes, start, stop)
    if len(selection.indexes) <= 1:
        # A lone empty cell would be a blank line, which CSV readers skip.
        lines = [line or b'""' for line in lines]
    header = selection.header or b"_none"
    flat = b"\n".join([header, *lines, b""])
    if b"\r" in flat:
        # Outside quotes: to some readers the end of a line.
        flat = flat.replace(b"\r", b" ")
    return _utf8(table.restored(flat))


def _utf8(text: bytes) -> bytes:
    if text.isascii():
        return text
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text


def batch_id(sid: str, asked: str, chunk: int, part: RequestPart) -> str:
    """Name a batch: rows of one search keep their id when splunkd or the network makes us ask twice.

    ``asked``: model, version and options, so that a second `| qscore` of one search has ids of its own.
    """
    digest = hashlib.sha256(part.body).hexdigest()
    return hashlib.sha256(repr((sid, asked, chunk, part.start, digest)).encode("utf-8", "replace")).hexdigest()[:40]


def score_lines(body: bytes) -> List[bytes]:
    """Cut a reply into a line of scores per row. Raises ValueError where one could damage the row that it joins."""
    body.decode("utf-8")
    lines = body.split(b"\n")[1:-1]
    flat, restore = flatten(body)
    checked = lines if restore is None else flat.split(b"\n")[1:-1]
    widths = set(map(bytes.count, checked, repeat(b",")))
    if b"\r" in body or len(checked) != len(lines) or not widths <= {_ADDED_COMMAS}:
        raise ValueError("a line of scores does not have %d columns" % len(OUTPUT_COLUMNS))
    return lines


def unscored_line(model: str, version: str, status: str) -> bytes:
    """Write the columns of a row that was not scored: empty but for model, version and status."""
    told = {"qscore_model": model, "qscore_version": version, "qscore_status": status}
    return b",".join(quoted(told.get(column, "")) for column in OUTPUT_COLUMNS)


def paste_rows(table: ChunkTable, start: int, stop: int, lines: Sequence[bytes]) -> bytes:
    """Paste rows ``start`` to ``stop`` and their lines of scores together, each with the chunk's line end."""
    kept = _kept(table)
    if not kept:
        return table.restored(b"".join([line + table.ending for line in lines]))
    # Joined in one go from four interleaved runs: half the time of joining each row by itself.
    text = [b","] * (4 * len(lines))
    text[0::4] = table.cut(kept, start, stop)
    text[2::4] = lines
    text[3::4] = [table.ending] * len(lines)
    return table.restored(b"".join(text))


def assemble(table: ChunkTable, pieces: Sequence[bytes]) -> bytes:
    """Join the chunk's header with the new columns, and the pasted rows."""
    if not table.names and not table.records:
        return b""
    kept = _kept(table)
    header = table.cut_header(kept) + b"," + _OUTPUT_HEADER if kept else _OUTPUT_HEADER
    return b"".join([table.restored(header), table.ending, *pieces])


def _kept(table: ChunkTable) -> List[int]:
    """Columns that are not scores of an earlier run."""
    return [index for index, name in enumerate(table.names) if not _is_output(name)]


def _is_output(name: str) -> bool:
    return (name[len(MULTIVALUE_PREFIX) :] if name.startswith(MULTIVALUE_PREFIX) else name) in OUTPUT_COLUMNS
