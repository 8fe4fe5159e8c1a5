"""One column of a body -> float64 and what is wrong with which row.

The fast way is a column that pyarrow reads as numbers at once. Only a column that it cannot read so is looked at cell
by cell, and then only the cells that are no plain numbers are judged one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scorer.wire.errors import MalformedBody
from scorer.wire.names import MAX_BODY_BYTES

Array = NDArray[np.float64]

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = re.compile(r"[+-]?(inf|infinity|nan)\Z", re.IGNORECASE)
_SHOWN = 40

# String views are left out: many views of one long text would become as many copies of it.
_TEXT_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
)
_PLAIN_TYPES = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null)


@dataclass(frozen=True)
class Numbers:
    """``values``: float64 (N,), NaN where a cell is empty or unusable. ``defects``: row -> status text."""

    values: Array
    defects: dict[int, str] = field(default_factory=dict)


def numbers(name: str, column: Any) -> Numbers:
    """Numbers of a pyarrow array of any type; never raises for what the cells hold."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numbers(name, _decoded(name, column))
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return _from_numbers(name, column.cast(pa.float64(), safe=False))
    if _is_text(kind):
        return _from_text(name, column.cast(pa.binary()))
    if pa.types.is_null(kind):
        return Numbers(np.full(len(column), np.nan))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _unusable(column, f"multivalue: {name} holds a list of values")
    return _unusable(column, f"not_a_number: {name} is of the type {str(kind)[:80]}")


def filled(name: str, column: Any) -> dict[int, str]:
    """Defects of the rows where Splunk's ``__mv_`` companion of an input is not empty."""
    texts = column.cast(pa.binary()) if _is_text(column.type) else None
    if texts is None:
        return {}
    rows = np.flatnonzero(pc.greater(pc.binary_length(pc.fill_null(texts, b"")), 0).to_numpy(zero_copy_only=False))
    return {int(row): f"multivalue: {name} holds several values; one is needed" for row in rows}


def _is_text(kind: Any) -> bool:
    return any(test(kind) for test in _TEXT_TYPES)


def _decoded(name: str, column: Any) -> Any:
    """A dictionary column without its dictionary; raises MalformedBody where few bytes would become very many."""
    words = column.dictionary
    if _is_text(words.type):
        size = pc.sum(pc.binary_length(words).cast(pa.int64()).take(column.indices)).as_py() or 0
        if size > MAX_BODY_BYTES:
            raise MalformedBody(f"the column {name} holds {size} bytes of text", f"Send at most {MAX_BODY_BYTES}.")
        return column.dictionary_decode()
    if any(test(words.type) for test in _PLAIN_TYPES):
        return column.dictionary_decode()
    raise MalformedBody(f"the column {name} is of the type {str(column.type)[:80]}", "Send it without a dictionary.")


def _from_numbers(name: str, column: Any) -> Numbers:
    values = column.to_numpy(zero_copy_only=False)
    said_nan = np.isnan(values)
    if column.null_count:
        said_nan &= column.is_valid().to_numpy(zero_copy_only=False)
    defects = {int(row): f"infinite: {name} is not a number (nan)" for row in np.flatnonzero(said_nan)}
    return Numbers(values, defects)


def _unusable(column: Any, text: str) -> Numbers:
    present = column.is_valid().to_numpy(zero_copy_only=False)
    return Numbers(np.full(len(column), np.nan), {int(row): text for row in np.flatnonzero(present)})


def _from_text(name: str, column: Any) -> Numbers:
    """Plain numbers in one pass, all other cells one by one."""
    cells = pc.ascii_trim_whitespace(_lossy_text(pc.fill_null(column, b"")))
    plain = pc.match_substring_regex(cells, _NUMBER)
    values = np.full(len(cells), np.nan)
    readable = plain.to_numpy(zero_copy_only=False)
    values[readable] = cells.filter(plain).cast(pa.float64()).to_numpy(zero_copy_only=False)
    empty = pc.equal(cells, "").to_numpy(zero_copy_only=False)
    defects: dict[int, str] = {}
    for row in np.flatnonzero(~readable & ~empty):
        defects[int(row)] = _complaint(name, cells[int(row)].as_py())
    return Numbers(values, defects)


def _lossy_text(column: Any) -> Any:
    """Binary cells as text; bytes that are not UTF-8 become replacement characters, so that only their row suffers."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([cell.decode("utf-8", "replace") for cell in column.to_pylist()], pa.string())


def _complaint(name: str, text: str) -> str:
    if "\n" in text:
        return f"multivalue: {name} holds several values; one is needed"
    if _NOT_FINITE.match(text):
        return f"infinite: {name} is {text.lower()}"
    shown = ascii(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else "")
    return f"not_a_number: {name} is {shown}"


def texts(name: str, column: Any) -> list[str]:
    """A context column as N strings, empty where there is nothing. Times become epoch seconds.

    Raises MalformedBody for columns that are neither text, numbers nor times.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts(name, _decoded(name, column))
    if _is_text(kind):
        found: list[str] = _lossy_text(pc.fill_null(column.cast(pa.binary()), b"")).to_pylist()
        return found
    if pa.types.is_timestamp(kind):
        column = pc.divide(
            column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).cast(pa.float64(), safe=False), 1e6
        )
    elif not any(test(kind) for test in _PLAIN_TYPES):
        raise MalformedBody(f"the column {name} is of the type {str(kind)[:80]}", "Send it as text.")
    return ["" if value is None else _plain(value) for value in column.to_pylist()]


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
