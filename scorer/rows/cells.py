"""Cells of any source as text, numbers and times: of bodies to score, of files to train on, of documents.

One rule for all of them. Text is trimmed; a number is written in ASCII digits, with a point and an exponent at most;
a time is a number of epoch seconds or ISO 8601, UTC where it names no zone. The fast way is a column that pyarrow takes
at once; only where it refuses are cells judged one by one. Nothing here raises for what a cell holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scorer.rows.defects import Defect
from scorer.wire.errors import MalformedBody

Floats = NDArray[np.float64]

#: Characters of a cleaned value that are kept; a document may hold megabytes in a field.
MAX_TEXT = 1024
_SHOWN = 40
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = re.compile(r"[+-]?(inf|infinity|nan)\Z", re.IGNORECASE)
_WHOLE = r"^([+-]?[0-9]+)\.0+$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+(Z|[+-][0-9:]+)?)?$"
_ZONE = r"(Z|[+-][0-9]{2}:[0-9]{2})$"
_BARE_ZONE = r"(:[0-9]{2}(?:\.[0-9]+)?[+-][0-9]{2})([0-9]{2})$"  # Splunk writes +0000
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MICRO = 1_000_000
_NO_TEXT = pa.scalar(None, pa.string())

# String views are left out: many views of one long text would become as many copies of it.
TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_LIST_TYPES = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_NUMBER_TYPES = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal)
_PLAIN_TYPES = (*_NUMBER_TYPES, pa.types.is_boolean, pa.types.is_null)


def clean(column: Any) -> Any:
    """Read a column of any flat type as text (N,): trimmed, at most MAX_TEXT characters, null where missing.

    "", "-" and NaN are missing. Whole numbers lose the ".0" that spreadsheets, pandas and JSON add.
    """
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    text = column.cast(pa.string())
    if (pc.max(pc.binary_length(text)).as_py() or 0) > MAX_TEXT:
        text = pc.utf8_slice_codeunits(text, 0, MAX_TEXT)
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.is_in(text, pa.array(["", "-"])), _NO_TEXT, text)
    if pc.any(pc.match_substring(text, ".0")).as_py():
        text = pc.replace_substring_regex(text, _WHOLE, r"\1")
    return text


def account(text: Any) -> Any:
    """Make account names of cleaned text: lower case, without "@" and what follows it."""
    return clean(pc.replace_substring_regex(pc.utf8_lower(text), "@.*$", ""))


def parsed(text: Any) -> Any:
    """Read trimmed text as float64 (N,); null where it is null or no number, as "inf" and "nan" are none."""
    numbers = _all_numbers(text)
    if numbers is not None:
        return numbers
    plain = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
    return pc.if_else(plain, text, _NO_TEXT).cast(pa.float64())


def _all_numbers(text: Any) -> Any:
    """Read text as float64 where pyarrow takes all of it at once, and for nothing not finite; else give None."""
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.all(pc.is_finite(numbers)).as_py() is not False else None


def unread(text: Any, values: Any) -> list[int]:
    """Find the rows that hold text of which nothing was read: ``values`` is null there."""
    rows: list[int] = pc.indices_nonzero(pc.and_(pc.is_valid(text), pc.is_null(values))).to_pylist()
    return rows


def seconds(column: Any) -> Any:
    """Read times as float64 epoch seconds (N,), exact to the microsecond; null where missing or no time."""
    return _epoch(column) if pa.types.is_timestamp(column.type) else moments(clean(column))


def moments(text: Any) -> Any:
    """Read cleaned text as `seconds` does."""
    numbers = _all_numbers(text)
    if numbers is not None:
        return numbers
    dated = pc.match_substring_regex(text, _DATE)
    dates = _dates(pc.replace_substring_regex(pc.if_else(dated, text, _NO_TEXT), _BARE_ZONE, r"\1:\2"))
    if dates.null_count == text.null_count:
        return dates
    return pc.coalesce(dates, parsed(pc.if_else(dated, _NO_TEXT, text)))


def _dates(text: Any) -> Any:
    """Read ISO 8601 as epoch seconds.

    A column that pyarrow refuses is halved until the cells stand alone that are no dates, such as a thirteenth month.
    """
    if text.null_count == len(text):
        return pa.nulls(len(text), pa.float64())
    zoned = pc.fill_null(pc.match_substring_regex(text, _ZONE), False)
    try:
        aware = pc.if_else(zoned, text, _NO_TEXT).cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
        naive = pc.if_else(zoned, _NO_TEXT, text).cast(pa.timestamp("ns")).cast(pa.int64())
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, pa.float64())
        half = len(text) // 2
        return pa.concat_arrays([_dates(text.slice(0, half)), _dates(text.slice(half))])
    return _epoch(pc.coalesce(aware, naive).cast(pa.timestamp("ns")))


def _epoch(times: Any) -> Any:
    """Turn timestamps into epoch seconds, by microseconds: nanoseconds of our time are more than float64 holds."""
    whole, per_second = times.cast(pa.int64()), _PER_SECOND[times.type.unit]
    if per_second > _MICRO:
        whole, per_second = pc.divide(whole, per_second // _MICRO), _MICRO
    return pc.divide(whole.cast(pa.float64(), safe=False), float(per_second))


def no_number(name: str, text: str) -> Defect:
    """Say why a cell's trimmed text is no number."""
    if "\n" in text:
        return _several(name)
    if _NOT_FINITE.match(text):
        return Defect("infinite", f"{name} is {text.lower()}")
    return Defect("not_a_number", f"{name} is {shown(text)}")


def _several(name: str) -> Defect:
    return Defect("multivalue", f"{name} holds several values; one is needed")


def shown(text: str) -> str:
    """Quote the beginning of a cell for a message, in ASCII."""
    return ascii(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else "")


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Read cells of a column in the block: what pyarrow or Python cannot make of them raises MalformedBody.

    Such as a decimal of more digits than its type may have, which Arrow itself takes for valid.
    """
    try:
        yield
    except MemoryError:  # of pyarrow, which derives its own from two trees
        raise
    except (pa.ArrowException, ArithmeticError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {str(error)[:120]}"
        raise MalformedBody(f"the column {name} cannot be read ({reason})", "Send it as text.") from None


@dataclass(frozen=True)
class Numbers:
    """``values``: float64 (N,), NaN where a cell is empty or unusable. ``defects``: by row."""

    values: Floats
    defects: dict[int, Defect] = field(default_factory=dict)


def numbers(name: str, column: Any) -> Numbers:
    """Read a pyarrow array of any type as numbers; raises MalformedBody for a dictionary of anything but flat cells."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numbers(name, _decoded(name, column))
    if is_any(kind, _NUMBER_TYPES):
        return _from_numbers(name, column.cast(pa.float64(), safe=False))
    if is_any(kind, TEXT_TYPES):
        return _from_text(name, column.cast(pa.binary()))
    if pa.types.is_null(kind):
        return Numbers(np.full(len(column), np.nan))
    if is_any(kind, _LIST_TYPES):
        return _unusable(column, Defect("multivalue", f"{name} holds a list of values"))
    return _unusable(column, Defect("not_a_number", f"{name} is of the type {str(kind)[:80]}"))


def filled(name: str, column: Any) -> dict[int, Defect]:
    """Find the defects of rows where Splunk's ``__mv_`` companion of an input is not empty."""
    if not is_any(column.type, TEXT_TYPES):
        return {}
    texts = pc.fill_null(column.cast(pa.binary()), b"")
    rows = pc.indices_nonzero(pc.greater(pc.binary_length(texts), 0)).to_pylist()
    return dict.fromkeys(rows, _several(name))


def texts(name: str, column: Any) -> list[str]:
    """Read a context column as N strings, empty where there is nothing. Times become epoch seconds.

    Raises MalformedBody for columns that are neither text, numbers nor times.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts(name, _decoded(name, column))
    if is_any(kind, TEXT_TYPES):
        found: list[str] = _lossy_text(pc.fill_null(column.cast(pa.binary()), b"")).to_pylist()
        return found
    if pa.types.is_timestamp(kind):
        column = _epoch(column)
    elif not is_any(kind, _PLAIN_TYPES):
        raise MalformedBody(f"the column {name} is of the type {str(kind)[:80]}", "Send it as text.")
    return ["" if value is None else _plain(value) for value in column.to_pylist()]


def is_any(kind: Any, tests: Any) -> bool:
    """Tell whether a pyarrow type passes one of the tests."""
    return any(test(kind) for test in tests)


def _decoded(name: str, column: Any) -> Any:
    """Take the dictionary out of a dictionary column, whose size ``cell_sizes`` has judged; raises MalformedBody."""
    if is_any(column.dictionary.type, (*TEXT_TYPES, *_PLAIN_TYPES)):
        return column.dictionary_decode()
    raise MalformedBody(f"the column {name} is of the type {str(column.type)[:80]}", "Send it without a dictionary.")


def _from_numbers(name: str, column: Any) -> Numbers:
    values = column.to_numpy(zero_copy_only=False)
    said_nan = np.isnan(values)
    if column.null_count:
        said_nan &= column.is_valid().to_numpy(zero_copy_only=False)
    nan = Defect("infinite", f"{name} is not a number (nan)")
    defects = {int(row): nan for row in np.flatnonzero(said_nan)}
    return Numbers(values, defects)


def _unusable(column: Any, defect: Defect) -> Numbers:
    present = column.is_valid().to_numpy(zero_copy_only=False)
    return Numbers(np.full(len(column), np.nan), {int(row): defect for row in np.flatnonzero(present)})


def _from_text(name: str, column: Any) -> Numbers:
    cells = pc.utf8_trim_whitespace(_lossy_text(column))
    cells = pc.if_else(pc.equal(cells, ""), _NO_TEXT, cells)
    values = parsed(cells)
    rows = unread(cells, values)
    words = cells.take(pa.array(rows, pa.int64())).to_pylist()
    defects = {row: no_number(name, word) for row, word in zip(rows, words, strict=True)}
    return Numbers(values.to_numpy(zero_copy_only=False), defects)


def _lossy_text(column: Any) -> Any:
    """Read binary cells as text; bytes that are not UTF-8 are replaced, so that only their row suffers."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        cells = (None if cell is None else cell.decode("utf-8", "replace") for cell in column.to_pylist())
        return pa.array(list(cells), pa.string())


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
