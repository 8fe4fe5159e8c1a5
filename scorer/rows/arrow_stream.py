"""Arrow IPC streams from outside: refused when compressed, because a few bytes may then claim any amount of memory."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa

from scorer.wire.errors import MalformedBody, RowCountMismatch
from scorer.wire.names import MAX_ROWS

_REMEDY = "Send one Arrow IPC stream without compression, in few record batches."
#: Messages of one stream: its schema, dictionaries and record batches. Each costs far more memory than its bytes.
MAX_MESSAGES = 4096
#: Bytes of one message's own description: a schema of 2,000 columns takes a tenth of it.
MAX_METADATA_BYTES = 2 * 1024 * 1024
#: Columns of all record batches together, whether there is anything in them or not.
MAX_PIECES = 400_000
#: Digits of the longest decimal, and the furthest that its point may lie from the last one.
MAX_SCALE = 76
#: Field numbers of the tables in Arrow's Message.fbs and Schema.fbs.
_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2
_RECORD_BATCH_COMPRESSION = 3
_DICTIONARY_BATCH_DATA, _DICTIONARY_BATCH_DELTA = 1, 2
_TYPE_DICTIONARY, _TYPE_RECORD_BATCH = 2, 3


def read_arrow(body: bytes, most_rows: int = MAX_ROWS) -> Any:
    """Read the table in a stream, fully validated.

    Raises MalformedBody, and RowCountMismatch as soon as its batches claim more than ``most_rows`` rows.
    """
    try:
        _check_messages(body)
        reader = pa.ipc.open_stream(pa.BufferReader(body))
        _check_types(reader.schema)
        table = _table(reader, most_rows)
        table.validate(full=True)
    except MemoryError:  # of pyarrow, which derives its own from two trees
        raise
    except (pa.ArrowException, ValueError, OSError, struct.error, IndexError, OverflowError) as error:
        raise MalformedBody(f"the Arrow stream cannot be read: {str(error)[:200]}", _REMEDY) from None
    return table


def _check_types(schema: Any) -> None:
    """Raise MalformedBody for decimals whose point lies beyond all their digits: pyarrow's casts may crash on them."""
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_decimal(kind) and abs(kind.scale) > MAX_SCALE:
            raise MalformedBody(
                f"the column {field.name[:80]} is a decimal of the scale {kind.scale}", "Send it as float64 or as text."
            )


def _table(reader: Any, most_rows: int) -> Any:
    """Gather the batches; a few bytes may claim any number of rows, which only copying or looking would cost."""
    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > most_rows:
            raise RowCountMismatch(
                f"{most_rows} rows were declared and {rows} or more came", "Send the number of data rows."
            )
        batches.append(batch)
        if len(batches) * max(1, batch.num_columns) > MAX_PIECES:
            raise MalformedBody(f"the Arrow stream has more than {len(batches) - 1} record batches", _REMEDY)
    return pa.Table.from_batches(batches, reader.schema)


def _check_messages(body: bytes) -> None:
    """Raise MalformedBody for a stream that is not to be read, by the descriptions of its messages alone."""
    reader = pa.BufferReader(body)
    count = 0
    while reader.tell() < len(body):
        try:
            message = pa.ipc.read_message(reader)
        except EOFError:
            return
        count += 1
        if count > MAX_MESSAGES or message.metadata.size > MAX_METADATA_BYTES:
            raise MalformedBody("the Arrow stream has too many messages, or too large a schema", _REMEDY)
        fault = _fault(message.metadata.to_pybytes())
        if fault:
            raise MalformedBody(f"the Arrow stream {fault}", _REMEDY)


def _fault(metadata: bytes) -> str:
    """Say what is wrong with one message: "" where nothing is."""
    if _is_compressed(metadata):
        return "is compressed"
    # Each delta is put behind all that came before it, which is copied again.
    return "sends a dictionary in pieces" if _is_delta(metadata) else ""


def _is_delta(metadata: bytes) -> bool:
    root = _unsigned(metadata, 0)
    kind_at, header_at = _field(metadata, root, _MESSAGE_HEADER_TYPE), _field(metadata, root, _MESSAGE_HEADER)
    if kind_at is None or header_at is None or metadata[kind_at] != _TYPE_DICTIONARY:
        return False
    delta_at = _field(metadata, header_at + _unsigned(metadata, header_at), _DICTIONARY_BATCH_DELTA)
    return delta_at is not None and metadata[delta_at] != 0


def _is_compressed(metadata: bytes) -> bool:
    """Tell whether a message's record batch, alone or inside a dictionary batch, names a compression."""
    root = _unsigned(metadata, 0)
    kind_at = _field(metadata, root, _MESSAGE_HEADER_TYPE)
    header_at = _field(metadata, root, _MESSAGE_HEADER)
    if kind_at is None or header_at is None:
        return False
    batch: int | None = header_at + _unsigned(metadata, header_at)
    if metadata[kind_at] == _TYPE_DICTIONARY:
        data_at = _field(metadata, header_at + _unsigned(metadata, header_at), _DICTIONARY_BATCH_DATA)
        batch = None if data_at is None else data_at + _unsigned(metadata, data_at)
    elif metadata[kind_at] != _TYPE_RECORD_BATCH:
        return False
    return batch is not None and _field(metadata, batch, _RECORD_BATCH_COMPRESSION) is not None


def _field(data: bytes, table: int, number: int) -> int | None:
    """Find the place where a flatbuffer table keeps a field; None where it does not have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    if 4 + 2 * number + 2 > size:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else None


def _unsigned(data: bytes, at: int) -> int:
    value: int = struct.unpack_from("<I", data, at)[0]
    return value
