"""Arrow IPC streams from outside: refused when compressed, because a few bytes may then claim any amount of memory."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa

from scorer.wire.errors import MalformedBody

_REMEDY = "Send one Arrow IPC stream without compression."
#: Field numbers of the tables in Arrow's Message.fbs and Schema.fbs.
_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2
_RECORD_BATCH_COMPRESSION = 3
_DICTIONARY_BATCH_DATA = 1
_TYPE_DICTIONARY, _TYPE_RECORD_BATCH = 2, 3


def read_arrow(body: bytes) -> Any:
    """The table in a stream, fully validated; raises MalformedBody."""
    try:
        _refuse_compression(body)
        table = pa.ipc.open_stream(pa.BufferReader(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, ValueError, OSError, struct.error, IndexError, OverflowError) as error:
        raise MalformedBody(f"the Arrow stream cannot be read: {str(error)[:200]}", _REMEDY) from None
    return table


def _refuse_compression(body: bytes) -> None:
    reader = pa.BufferReader(body)
    while reader.tell() < len(body):
        try:
            message = pa.ipc.read_message(reader)
        except EOFError:
            return
        if _is_compressed(message.metadata.to_pybytes()):
            raise MalformedBody("the Arrow stream is compressed", _REMEDY)


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message's record batch, alone or inside a dictionary batch, names a compression."""
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
    """Where a flatbuffer table keeps a field; None where it does not have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    if 4 + 2 * number + 2 > size:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else None


def _unsigned(data: bytes, at: int) -> int:
    value: int = struct.unpack_from("<I", data, at)[0]
    return value
