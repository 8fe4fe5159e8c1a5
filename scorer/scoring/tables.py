"""Bodies in three formats -> one table of columns, of which only the asked-for are read.

What a body claims is compared with its declared rows before anything of it is parsed, or while it is parsed in blocks.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from scorer.rows.arrow_stream import read_arrow
from scorer.scoring.csv_records import line_ends, unquoted_records
from scorer.scoring.json_shape import check_shape
from scorer.wire.errors import MalformedBody, RowCountMismatch, UnsupportedMediaType
from scorer.wire.names import MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON

MAX_COLUMNS = 2000
MAX_HEADER_BYTES = 1 << 20
#: Bytes of CSV that are parsed together: memory beyond the columns themselves is bounded by this, not by the body.
_CSV_BLOCK = 4 * 1024 * 1024
#: Digits of a whole number in JSON that are read one by one; beyond float64 all are alike.
_LONGEST_NUMBER = 400
_HUGE = 10**_LONGEST_NUMBER
_ROWS_REMEDY = "Send the number of data rows in X-QScore-Rows."
_CSV_REMEDY = "Send a header line and one line for each row, UTF-8, comma-separated, quoted as RFC 4180 says."


@dataclass(frozen=True)
class BodyTable:
    """A body as columns.

    ``names``: every column of the body, in order. ``columns``: the first column of each asked-for name, as pyarrow
    arrays of one length, ``rows``.
    """

    names: tuple[str, ...]
    columns: dict[str, Any]
    rows: int


#: (numeric names, text names) asked for; the first are read as numbers where that works.
Wanted = tuple[frozenset[str], frozenset[str]]


def read_table(body: bytes, media_type: str, wanted: Wanted, rows: int) -> BodyTable:
    """Read the asked-for columns of a body that was declared to hold ``rows`` rows.

    Raises MalformedBody, UnsupportedMediaType, BodyTooLarge, and RowCountMismatch where another number of rows came.
    """
    kind = media_type.split(";", 1)[0].strip().lower()
    reader = _READERS.get(kind)
    if reader is None:
        raise UnsupportedMediaType(f"bodies of the type {kind[:80]!r} are not read", f"Use {', '.join(_READERS)}.")
    table = reader(body, wanted, rows)
    if table.rows != rows:
        raise mismatch(rows, table.rows)
    return table


def mismatch(declared: int, came: int, more: str = "") -> RowCountMismatch:
    """Make the error for a body of another number of rows; ``more``: words behind the number."""
    return RowCountMismatch(f"{declared} rows were declared and {came} came{more}", _ROWS_REMEDY)


def _read_csv(body: bytes, wanted: Wanted, rows: int) -> BodyTable:
    names, rest = _header(body.removeprefix(b"\xef\xbb\xbf"))
    chosen = _first_of_each(names, wanted[0] | wanted[1])
    if not rest:
        return BodyTable(names, {name: pa.array([], pa.string()) for name in chosen}, 0)
    parse = _csv_parser(rest, rows)
    try:
        table = _parse_csv(parse, len(names), chosen, wanted[0])
    except pa.ArrowInvalid:
        # Some cell is no number, or not UTF-8: read bytes, and let each cell be judged on its own.
        table = _parse_csv_bytes(parse, len(names), chosen)
    columns = {name: _one_chunk(table.column(str(at))) for name, at in chosen.items()}
    return BodyTable(names, columns, table.num_rows)


def _header(body: bytes) -> tuple[tuple[str, ...], bytes]:
    """Column names and the bytes after the header record, which may hold quoted line ends."""
    end = _record_end(body)
    try:
        records = list(csv.reader(io.StringIO(body[:end].decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedBody(f"the header line of the CSV cannot be read: {error}", _CSV_REMEDY) from None
    names = tuple(records[0]) if len(records) == 1 else ()
    if not 1 <= len(names) <= MAX_COLUMNS:
        raise MalformedBody(f"the CSV starts with {len(names)} columns; possible is 1 to {MAX_COLUMNS}", _CSV_REMEDY)
    return names, body[end:]


def _record_end(body: bytes) -> int:
    """Find the end of the first record, its line end included: at the first line end outside quotes."""
    start, quotes = 0, 0
    while True:
        at = body.find(b"\n", start, MAX_HEADER_BYTES)
        if at == -1:
            if len(body) > MAX_HEADER_BYTES:
                raise MalformedBody(f"the header line of the CSV is longer than {MAX_HEADER_BYTES} bytes", _CSV_REMEDY)
            return len(body)
        quotes += body.count(b'"', start, at)
        if quotes % 2 == 0:
            return at + 1
        start = at + 1


def _first_of_each(names: Iterable[str], wanted: frozenset[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for at, name in enumerate(names):
        if name in wanted:
            found.setdefault(name, at)
    return found


#: Reads a table of so many columns, of these types by position. Raises pa.ArrowInvalid, RowCountMismatch.
CsvParser = Callable[[int, dict[str, Any]], Any]


def _csv_parser(rest: bytes, rows: int) -> CsvParser:
    """Choose how to parse: at once, or in blocks until there are more than ``rows`` records.

    Raises RowCountMismatch where line ends alone tell that there are too many. Only where there are quotes and more
    line ends than rows can some of them be inside quotes; how many is for the parser to say.
    """
    quoted = b'"' in rest
    if not quoted and (records := unquoted_records(rest)) > rows:
        raise mismatch(rows, records)
    if quoted and line_ends(rest) > rows:
        return functools.partial(_csv_blocks, rest, rows)
    return functools.partial(_csv_at_once, rest)


def _parse_csv(parse: CsvParser, width: int, chosen: dict[str, int], numeric: frozenset[str]) -> Any:
    return parse(width, {str(at): pa.float64() if name in numeric else pa.string() for name, at in chosen.items()})


def _parse_csv_bytes(parse: CsvParser, width: int, chosen: dict[str, int]) -> Any:
    try:
        return parse(width, {str(at): pa.binary() for at in chosen.values()})
    except pa.ArrowInvalid as error:
        if "straddl" in str(error):  # pyarrow's word for a record that does not fit into a block
            raise MalformedBody(f"a record of the CSV has more than {_CSV_BLOCK} bytes", _CSV_REMEDY) from None
        raise MalformedBody(f"the CSV cannot be read: {str(error)[:200]}", _CSV_REMEDY) from None


def _csv_at_once(rest: bytes, width: int, types: dict[str, Any]) -> Any:
    return pa_csv.read_csv(pa.BufferReader(rest), *_csv_options(rest, width, types))


def _csv_blocks(rest: bytes, rows: int, width: int, types: dict[str, Any]) -> Any:
    """Parse block by block; raises RowCountMismatch as soon as there are too many rows."""
    found, came = [], 0
    with pa_csv.open_csv(pa.BufferReader(rest), *_csv_options(rest, width, types)) as reader:
        for batch in reader:
            came += batch.num_rows
            if came > rows:
                raise mismatch(rows, came, " or more")
            found.append(batch)
        return pa.Table.from_batches(found, reader.schema)


def _csv_options(rest: bytes, width: int, types: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Columns are named by position, so that two of one name cannot be confused. One thread: workers are processes."""
    # At least one column must be read, for the number of rows.
    types = types or {"0": pa.binary()}
    block, names = min(len(rest) + 1, _CSV_BLOCK), [str(at) for at in range(width)]
    return (
        pa_csv.ReadOptions(use_threads=False, column_names=names, block_size=block),
        # Looking for line ends inside quotes is only needed, and only paid for, where there are quotes.
        pa_csv.ParseOptions(newlines_in_values=b'"' in rest, ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=False,
            auto_dict_encode=False,
        ),
    )


def _one_chunk(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _read_json(body: bytes, wanted: Wanted, rows: int) -> BodyTable:
    check_shape(body, rows, MAX_COLUMNS)
    names, columns = _json_columns(body)
    chosen = _first_of_each(names, wanted[0] | wanted[1])
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise MalformedBody(f"columns of {min(lengths)} to {max(lengths)} values", "Give every column one value a row.")
    try:
        arrays = {
            name: _numeric_list(columns[at]) if name in wanted[0] else _text_list(columns[at])
            for name, at in chosen.items()
        }
    except RecursionError:
        raise MalformedBody("a value of the JSON is nested too deeply", "Give one value a row.") from None
    return BodyTable(names, arrays, lengths.pop() if lengths else 0)


def _json_columns(body: bytes) -> tuple[tuple[str, ...], list[list[Any]]]:
    remedy = 'Send {"columns": {"name": [one value a row, ...], ...}}.'
    try:
        # Pairs, not a dict: a name that stands twice must be seen.
        # UTF-8 alone, as RFC 8259 says: bytes of other encodings could hide their brackets from what counts them.
        raw = json.loads(body.decode("utf-8-sig", "surrogatepass"), object_pairs_hook=_Pairs, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the JSON cannot be read: {str(error)[:200]}", remedy) from None
    if not isinstance(raw, _Pairs) or [key for key, _ in raw] != ["columns"] or not isinstance(raw[0][1], _Pairs):
        raise MalformedBody("the JSON is not an object with columns alone", remedy)
    pairs = raw[0][1]
    if len(pairs) > MAX_COLUMNS or not all(type(values) is list for _, values in pairs):
        raise MalformedBody("a column of the JSON is not a list, or there are too many", remedy)
    return tuple(name for name, _ in pairs), [values for _, values in pairs]


def _whole(text: str) -> int:
    """Read a whole number; one far beyond float64 is not worked out: thousands of digits take long."""
    return int(text) if len(text) <= _LONGEST_NUMBER else (-_HUGE if text[0] == "-" else _HUGE)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, told apart from a JSON list."""

    __slots__ = ()


def _numeric_list(values: list[Any]) -> Any:
    if all(type(value) in (int, float, type(None)) for value in values):
        try:
            return pa.array(values, pa.float64())
        except (pa.ArrowInvalid, OverflowError):
            pass  # an integer that float64 cannot hold
    return _text_list(values)


def _text_list(values: list[Any]) -> Any:
    return pa.array([_as_text(value) for value in values], pa.binary())


def _as_text(value: Any) -> bytes:
    if type(value) is list:
        text = "\n".join(_as_text(item).decode() for item in value)
    elif type(value) is float and value.is_integer() and abs(value) < 1e15:
        text = str(int(value))
    elif type(value) is int and abs(value) > 2**63:
        text = f"{'-' if value < 0 else ''}1e400" if abs(value) > 10**308 else repr(float(value))
    else:
        text = "" if value is None else str(value)
    return text.encode("utf-8", "replace")


def _read_arrow(body: bytes, wanted: Wanted, rows: int) -> BodyTable:
    table = read_arrow(body, rows)
    names = tuple(table.column_names)
    if len(names) > MAX_COLUMNS:
        raise MalformedBody(f"{len(names)} columns; at most {MAX_COLUMNS} are read", "Send the model's columns only.")
    chosen = _first_of_each(names, wanted[0] | wanted[1])
    return BodyTable(names, {name: _one_chunk(table.column(at)) for name, at in chosen.items()}, table.num_rows)


_READERS: dict[str, Callable[[bytes, Wanted, int], BodyTable]] = {
    MEDIA_CSV: _read_csv,
    MEDIA_ARROW: _read_arrow,
    MEDIA_JSON: _read_json,
}
