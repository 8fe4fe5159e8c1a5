"""JSON of a whole batch at once: an object whose leaves are columns becomes one text a row.

Texts are joined by Arrow, so that no row costs a Python object. A column is an Arrow array of strings, null in rows
that have no value; a member whose value is null is left out of its row's object. Constants are encoded once a batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: JSON as it stands, or a column of it.
_Piece = Any
_NULL = pa.scalar(None, pa.string())
_FIRST_PRINTABLE = 0x20
#: JSON of a value that all rows share, or that stands alone.
encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, eq=False)
class Raw:
    """A leaf that is JSON already: a column, or None where no row has a value."""

    column: Any


class Text:
    """A leaf that becomes a JSON string: plain texts and columns of them, one after the other.

    A row in which one of the columns is null has no value; with None in place of a column no row has one.
    """

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


def objects(members: Mapping[str, Any], before: Sequence[_Piece] = (), after: str = "") -> Any:
    """Write one JSON object a row; ``before`` and ``after`` are put around it as they are.

    ``members``: name -> `Raw`, `Text`, a mapping of the like, None (left out), or a value that is the same in all rows.
    Where each member may be missing, a row that has none of them is null. One member at least has to be a column.
    """
    return _joined([*before, *(_object(members) or ["{}"]), after])


def values(leaf: Any) -> Any:
    """Write one value a row, of any kind that `objects` takes as a member; None where no row has one."""
    pieces = _value(leaf)
    return None if pieces is None else _joined(pieces)


def lists(*columns: Any) -> Any:
    """Write a JSON list of each row's different texts, in the order of the columns; null where a row has none.

    A column may be None. Returns None where all are.
    """
    present = [column for column in columns if not _is_empty(column)]
    if len(present) < 2:
        return _joined(['["', escaped(present[0]), '"]']) if present else None
    fragments: list[_Piece] = []
    for at, column in enumerate(present):
        different = column
        for earlier in present[:at]:
            different = pc.if_else(pc.fill_null(pc.equal(column, earlier), False), _NULL, different)
        fragments += optional(',"', escaped(different), '"')
    return _wrapped("[", fragments, "]")


def optional(*pieces: _Piece) -> list[_Piece]:
    """Put pieces together so that rows in which one of them is null have none of them."""
    return [pc.fill_null(_joined(pieces), "")] if _may_be_missing(pieces) else list(pieces)


def escaped(column: Any) -> Any:
    """Write texts as they stand between the quotes of a JSON string."""
    used = _used_bytes(column)
    if used and np.frombuffer(used, np.uint8).min() < _FIRST_PRINTABLE:
        return pa.array([text if text is None else _between_quotes(text) for text in column.to_pylist()], pa.string())
    if b"\\" in used:
        column = pc.replace_substring(column, "\\", "\\\\")
    return pc.replace_substring(column, '"', '\\"') if b'"' in used else column


def _between_quotes(text: str) -> str:
    return encode(text)[1:-1]


def _used_bytes(column: Any) -> bytes:
    """Get the bytes of a string array's cells, end to end."""
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return b""
    first, last = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]].tolist()
    used: bytes = data.slice(first, last - first).to_pybytes()
    return used


def _object(members: Mapping[str, Any]) -> list[_Piece] | None:
    """Make the pieces of an object; a single column, which may be null, where each of its members may be missing.

    None where no row has any of them.
    """
    found = [(name, pieces) for name, value in members.items() if (pieces := _value(value)) is not None]
    if not found:
        return None
    missing = [_may_be_missing(pieces) for _, pieces in found]
    if all(missing):
        return [_wrapped("{", _members(found), "}")]
    # Who stands first has no comma before it: it must be one that no row lacks.
    found.insert(0, found.pop(missing.index(False)))
    pieces = _members(found)
    return ["{", pieces[0][1:], *pieces[1:], "}"]


def _members(found: Iterable[tuple[str, list[_Piece]]]) -> list[_Piece]:
    """Make the pieces of members, a comma before each."""
    return [piece for name, pieces in found for piece in optional(_named(name), *pieces)]


@lru_cache(maxsize=1024)
def _named(name: str) -> str:
    return f",{encode(name)}:"


def _value(value: Any) -> list[_Piece] | None:
    """Make the pieces of one value; None where no row has it."""
    if value is None:
        return None
    if isinstance(value, Raw):
        return None if _is_empty(value.column) else [value.column]
    if isinstance(value, Text):
        return _text(value.parts)
    if isinstance(value, Mapping) and value:
        return _object(value)
    return [encode(value)]


def _text(parts: Sequence[Any]) -> list[_Piece] | None:
    if any(not isinstance(part, str) and _is_empty(part) for part in parts):
        return None
    return ['"', *(_between_quotes(part) if isinstance(part, str) else escaped(part) for part in parts), '"']


def _is_empty(column: Any) -> bool:
    return column is None or column.null_count == len(column)


def _may_be_missing(pieces: Sequence[_Piece]) -> bool:
    return any(not isinstance(piece, str) and piece.null_count for piece in pieces)


def _joined(pieces: Sequence[_Piece]) -> Any:
    """Join pieces to one text a row; null where a column among the pieces is."""
    merged: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    return pc.binary_join_element_wise(*merged, "")


def _wrapped(start: str, members: Sequence[_Piece], end: str) -> Any:
    """Put members less the comma before the first between ``start`` and ``end``; null in rows that have none."""
    if isinstance(members[0], str):
        return _joined([start, members[0][1:], *members[1:], end])
    inner = _joined(members)
    some = pc.if_else(pc.equal(inner, ""), _NULL, inner)
    return _joined([start, pc.utf8_slice_codeunits(some, 1), end])
