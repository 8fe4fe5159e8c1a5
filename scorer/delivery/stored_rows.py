"""Rows as they lie on the queue and in the dead letters, and how they are read: once, and with suspicion.

On the queue: a list of blocks, each an uncompressed Arrow IPC stream whose schema carries the header as JSON. In the
dead letters: one JSON object a row, which is also the form in which 0.1.0 put rows on the queue. Both are read.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter, ValidationError

from scorer.delivery.context_cells import FIELDS_DROPPED, copies_of
from scorer.delivery.rows import COLUMNS, LATEST, REQUIRED, Block, Header, ScoredRows, Seconds, block_of, digests, texts
from scorer.rows.arrow_stream import read_arrow
from scorer.rows.columns import BANDS, ENTITY_COLUMNS, ORIGIN_COLUMNS
from scorer.wire.errors import MalformedBody, RowCountMismatch
from scorer.wire.names import MAX_BODY_BYTES, MAX_ROWS

_HEADER_KEY: Final = b"qscore"
_MAX_HEADER: Final = 1 << 20  # bytes
_MAX_BLOCK: Final = 2 * MAX_BODY_BYTES  # the texts of a body, and what scoring adds to them
_REMEDY: Final = "Run the same version of qscore everywhere."

_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class _Cells:
    """What one row says for itself, by the names of 0.1.0."""

    id: _Digest
    time: Seconds
    entities: dict[str, str]
    origin: dict[str, str]
    probability: _Finite
    risk: Annotated[int, Field(ge=0, le=100)]
    band: Annotated[str, Field(pattern=f"^({'|'.join(BANDS)})$")]
    alert: bool
    pvalue: float
    classical: float
    reason: str
    error: str = ""
    revision: Annotated[int, Field(ge=0, lt=10**18)] = 0
    row_id: _Digest | None = None
    old_id: _Digest | None = None
    fields: dict[str, str | list[str]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)


_HEADER = TypeAdapter(Header)
_CELLS = TypeAdapter(_Cells)
_PLAIN = ("probability", "pvalue", "classical", "risk", "alert", "reason", "error")


def stored(rows: ScoredRows) -> list[bytes]:
    """Put rows into the form in which they lie on the queue."""
    return [_stream(block) for block in rows.blocks]


def read_rows(raw: Any) -> ScoredRows:
    """Read rows from the queue, blocks or rows of 0.1.0. Raises MalformedBody naming the part that is wrong."""
    if not isinstance(raw, list) or len(raw) > MAX_ROWS:
        raise MalformedBody(f"scored rows came as {type(raw).__name__}, or too many of them", _REMEDY)
    if raw and all(isinstance(one, bytes) for one in raw):
        return ScoredRows(tuple(_block(one) for one in raw))
    return _rows_of_cells(_row(_json(row, number), number) for number, row in enumerate(raw))


def read_letter(payload: str) -> ScoredRows:
    """Read the one row of a dead letter. Raises MalformedBody naming the part that is wrong."""
    return _rows_of_cells([_row(payload.encode("utf-8", "surrogatepass"), 0)])


def letters_of(rows: ScoredRows) -> Iterator[str]:
    """Write each row as a dead letter keeps it."""
    for row in row_objects(rows):
        yield json.dumps(row, sort_keys=True, separators=(",", ":"))


def row_objects(rows: ScoredRows) -> Iterator[dict[str, Any]]:
    """Write each row as an object of JSON: what its batch says and what it says itself, unknown parts left out."""
    ids = iter(rows.ids)
    for block in rows.blocks:
        shared = {name: part for name, part in dataclasses.asdict(block.header).items() if part is not None}
        shared["mitre"] = list(block.header.mitre)
        columns = {name: _cells(block, name) for name in COLUMNS}
        for cells in zip(*columns.values(), strict=True):
            yield {**shared, "id": next(ids), **_object(dict(zip(columns, cells, strict=True)))}


def _cells(block: Block, name: str) -> Sequence[Any]:
    column = block.column(name)
    return column.to_pylist() if column is not None else ["" if COLUMNS[name] == pa.string() else 0] * len(block)


def _object(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Make a row's own part of its object, its id excepted."""
    row = {name: cells[name] for name in ("time", *_PLAIN[:-1])} | {"band": BANDS[cells["band"]]}
    for kind, names in (("entities", ENTITY_COLUMNS), ("origin", ORIGIN_COLUMNS)):
        row[kind] = {name: cells[name] for name in names if cells[name]}
    if cells["error"]:
        row["error"] = cells["error"]
    if cells["revision"]:
        row |= {"revision": cells["revision"], "row_id": cells["row_id"].hex()}
    if cells["old_id"]:
        row["old_id"] = cells["old_id"].hex()
    flags = cells["flags"].split(",") if cells["flags"] else []
    if cells["fields"]:
        copies = copies_of(cells["fields"])
        if copies is None:
            flags.append(FIELDS_DROPPED)
        else:
            row["fields"] = copies
    return row | {"flags": flags} if flags else row


def _stream(block: Block) -> bytes:
    header = _HEADER.dump_json(block.header, exclude_none=True)
    columns = block.columns.replace_schema_metadata({_HEADER_KEY: header})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_batch(columns)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _block(raw: bytes) -> Block:
    if len(raw) > _MAX_BLOCK:
        raise MalformedBody(f"scored rows of {len(raw)} bytes", f"At most {_MAX_BLOCK} bytes are read.")
    try:
        table = read_arrow(raw, MAX_ROWS)
    except RowCountMismatch:
        raise MalformedBody("a block of too many scored rows", f"1 to {MAX_ROWS} are read.") from None
    if not table.num_rows:
        raise MalformedBody("a block of 0 scored rows", f"1 to {MAX_ROWS} are read.")
    _check_form(table)
    header = _header((table.schema.metadata or {}).get(_HEADER_KEY, b""))
    batch = table.combine_chunks().to_batches()[0]
    block = block_of(header, dict(zip(batch.schema.names, batch.columns, strict=True)))
    _check_numbers(block)
    return block


def _check_form(table: Any) -> None:
    """Raise MalformedBody where columns are absent, unknown, twice there, of another type or null somewhere."""
    names = table.schema.names
    columns = zip(table.schema, table.columns, strict=True)
    wrong = [one.name for one, column in columns if COLUMNS.get(one.name) != one.type or column.null_count]
    missing = REQUIRED - set(names)
    if wrong or missing or len(set(names)) < len(names):
        named = ", ".join(sorted({*wrong, *missing}))[:200] or "one of two of the same name"
        raise MalformedBody(f"scored rows whose columns are not what they should be: {named}", _REMEDY)


def _header(raw: bytes) -> Header:
    try:
        if len(raw) > _MAX_HEADER:
            raise MalformedBody(f"a header of {len(raw)} bytes", _REMEDY)
        return _HEADER.validate_json(raw, strict=True)
    except ValidationError as error:
        raise MalformedBody(f"the header of scored rows: {_complaint(error)}", _REMEDY) from None


def _check_numbers(block: Block) -> None:
    time, risk, band = (block.numbers(name) for name in ("time", "risk", "band"))
    revision = block.column("revision")
    wrong = {
        "time": not ((time >= 0.0) & (time <= LATEST)).all(),
        "probability": not np.isfinite(block.numbers("probability")).all(),
        "risk": bool((risk > 100).any()),
        "band": bool((band >= len(BANDS)).any()),
        "revision": revision is not None and bool((revision.to_numpy() < 0).any()),
        "row_id": (revision is None) != (block.column("row_id") is None),
    }
    if any(wrong.values()):
        named = ", ".join(name for name, is_wrong in wrong.items() if is_wrong)
        raise MalformedBody(f"scored rows hold a value that is out of range: {named}", _REMEDY)


def _json(row: Any, number: int) -> bytes:
    try:
        return json.dumps(row).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedBody(f"scored row {number} is no object: {error}"[:200], _REMEDY) from None


def _row(raw: bytes, number: int) -> tuple[Header, _Cells]:
    try:
        return _HEADER.validate_json(raw, strict=True), _CELLS.validate_json(raw, strict=True)
    except ValidationError as error:
        raise MalformedBody(f"scored row {number}: {_complaint(error)}", _REMEDY) from None


def _complaint(error: ValidationError) -> str:
    """Say the first thing that is wrong, without the value where it is text: logs must not hold it."""
    first = error.errors(include_url=False)[0]
    name, value = ".".join(map(str, first["loc"])) or "the whole", first["input"]
    shown = repr(value) if isinstance(value, int | float) else type(value).__name__
    return f"{name} is {shown}: {first['msg']}"[:300]


def _rows_of_cells(read: Iterable[tuple[Header, _Cells]]) -> ScoredRows:
    grouped = itertools.groupby(list(read), key=lambda pair: pair[0])
    return ScoredRows(tuple(_block_of_cells(header, [cells for _, cells in pairs]) for header, pairs in grouped))


def _block_of_cells(header: Header, rows: Sequence[_Cells]) -> Block:
    columns: dict[str, Any] = {
        "id": digests(row.id for row in rows),
        "time": pa.array([row.time for row in rows], pa.float64()),
        "band": pa.array([BANDS.index(row.band) for row in rows], pa.uint8()),
        "fields": texts([json.dumps(row.fields, ensure_ascii=False) if row.fields else "" for row in rows]),
        "flags": texts([",".join(row.flags) for row in rows]),
    }
    for name in _PLAIN:
        values = [getattr(row, name) for row in rows]
        columns[name] = texts(values) if COLUMNS[name] == pa.string() else pa.array(values, COLUMNS[name])
    for kind, names in (("entities", ENTITY_COLUMNS), ("origin", ORIGIN_COLUMNS)):
        columns |= {name: texts([getattr(row, kind).get(name, "") for row in rows]) for name in names}
    if any(row.revision for row in rows):
        columns["revision"] = pa.array([row.revision for row in rows], pa.int64())
        columns["row_id"] = digests(row.row_id or row.id for row in rows)
    if any(row.old_id for row in rows):
        columns["old_id"] = digests(row.old_id or row.id for row in rows)
    return block_of(header, columns)
