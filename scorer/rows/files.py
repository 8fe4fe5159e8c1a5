"""Reading events or rows from a file: CSV, NDJSON or Parquet, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from scorer.wire.errors import BadTrainingData

FORMATS = "CSV (.csv), NDJSON (.ndjson, .jsonl, .json), each also as .gz, or Parquet (.parquet)"


def read_table(path: Path) -> pa.Table:
    """Read all columns of a file. CSV cells stay text; nested JSON objects become columns called like ``source.ip``.

    Raises BadTrainingData when the file is absent, empty, of another format, or has two columns of one name.
    """
    try:
        table = _reader(path)(_content(path))
    except (OSError, EOFError, zlib.error) as error:
        raise BadTrainingData(f"{path} cannot be read: {error}", f"Give a readable file: {FORMATS}.") from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0][:300]
        raise BadTrainingData(f"{path} is not what its name says: {reason}", f"Readable are {FORMATS}.") from None
    return _checked(table, path)


def memory_of_arrow(content: bytes | bytearray) -> pa.BufferReader:
    """Copy bytes into memory of Arrow's own, for its readers.

    Its threads let go of what they read from a moment after the table is there. Where that is an object of Python's,
    they ask for the interpreter, and a command that ends in this moment is aborted (Python 3.11).
    """
    copy = pa.allocate_buffer(len(content))
    pa.FixedSizeBufferWriter(copy).write(content)
    return pa.BufferReader(copy)


def check_writable(path: Path) -> None:
    """Refuse a name that ``write_table`` cannot write to; ask before the work is done. Raises BadTrainingData."""
    if not path.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise BadTrainingData(f"cannot write {path.name}", "End the name with .csv, .csv.gz or .parquet.")
    if path.is_dir():
        raise BadTrainingData(f"cannot write {path}: it is a folder", "Name a file.")


def write_table(table: pa.Table, path: Path) -> None:
    """Write CSV (gzipped by the name) or Parquet, by the suffix; raises BadTrainingData where it cannot be written."""
    check_writable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(table, path)
    except OSError as error:
        raise BadTrainingData(f"cannot write {path}: {error.strerror}", "Name a file that you may write.") from None


def _write(table: pa.Table, path: Path) -> None:
    name = path.name.lower()
    if name.endswith(".parquet"):
        pq.write_table(table, path)
        return
    raw = _csv_bytes(table)
    path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)


def _csv_bytes(table: pa.Table) -> bytes:
    """Write no quotes where no value needs them, since plain lines are read faster."""
    for style in ("none", "needed"):
        sink = io.BytesIO()
        try:
            pacsv.write_csv(table, sink, pacsv.WriteOptions(quoting_style=style, quoting_header=style))
        except pa.ArrowInvalid:
            if style == "needed":
                raise
        else:
            break
    return sink.getvalue()


def _reader(path: Path) -> Callable[[bytes], pa.Table]:
    suffixes = {".csv": _csv, ".ndjson": _ndjson, ".jsonl": _ndjson, ".json": _ndjson, ".parquet": _parquet}
    name = path.name.lower().removesuffix(".gz")
    for suffix, reader in suffixes.items():
        if name.endswith(suffix):
            return reader
    raise BadTrainingData(f"{path.name} has an unknown ending", f"Readable are {FORMATS}.")


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _csv(raw: bytes) -> pa.Table:
    parse = pacsv.ParseOptions(newlines_in_values=True)
    block = pacsv.ReadOptions(block_size=max(len(raw), 1))
    with pacsv.open_csv(memory_of_arrow(raw), read_options=block, parse_options=parse) as opened:
        names = opened.schema.names
    text = pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
    return pacsv.read_csv(memory_of_arrow(raw), read_options=block, parse_options=parse, convert_options=text)


def _ndjson(raw: bytes) -> pa.Table:
    table = pajson.read_json(memory_of_arrow(raw), read_options=pajson.ReadOptions(block_size=len(raw) + 1))
    while any(pa.types.is_struct(column.type) for column in table.schema):
        table = table.flatten()
    return table


def _parquet(raw: bytes) -> pa.Table:
    table = pq.read_table(memory_of_arrow(raw))
    while any(pa.types.is_struct(column.type) for column in table.schema):
        table = table.flatten()
    return table


def _checked(table: pa.Table, path: Path) -> pa.Table:
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise BadTrainingData(f"{path} has two columns called {twice[0]!r}", "Rename or remove one of them.")
    if table.num_rows == 0:
        raise BadTrainingData(f"{path} has no rows", "Give a file with a header and at least one row.")
    return table
