"""The shape of a JSON body, judged in one pass over its bytes before any object is made of it.

Sixty megabytes of `{}` are twenty million objects and gigabytes of memory; counting brackets and commas outside strings
costs half a second and none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.rows.cell_sizes import MAX_HELD_BYTES
from scorer.wire.errors import BodyTooLarge, MalformedBody, RowCountMismatch

#: Lists and objects inside each other; a body of rows has three, a cell may be a list.
MAX_DEPTH = 32
#: Bytes that Python takes for a list or an object, and for any other value, above what its text has; rounded up.
_CONTAINER_BYTES, _VALUE_BYTES = 160, 56
#: Values too many that are not worth a refusal before parsing: the parser says more exactly what is wrong.
_SLACK = 10_000
#: The object of the columns, and the list of one column's values, by how many brackets are open around what they hold.
_IN_COLUMNS, _IN_A_LIST = 2, 3
_BLOCK = 1 << 18  # bytes looked at together

_QUOTE, _OPEN, _CLOSE, _COMMA, _COLON = 1, 2, 3, 4, 5
_KIND = np.zeros(256, np.uint8)
for _kind, _characters in ((_QUOTE, b'"'), (_OPEN, b"[{"), (_CLOSE, b"]}"), (_COMMA, b","), (_COLON, b":")):
    _KIND[list(_characters)] = _kind
_CHANGE = np.array([0, 0, 1, -1, 0, 0], np.int32)

Kinds = NDArray[np.uint8]
Levels = NDArray[np.int32]


@dataclass
class _Counts:
    """What was counted so far. ``columns``: names in the object of columns; ``commas``: between values of columns."""

    containers: int = 0
    separators: int = 0
    columns: int = 0
    commas: int = 0

    def add(self, kinds: Kinds, levels: Levels) -> None:
        comma, colon = kinds == _COMMA, kinds == _COLON
        self.containers += int(np.count_nonzero(kinds == _OPEN))
        self.separators += int(np.count_nonzero(comma)) + int(np.count_nonzero(colon))
        self.columns += int(np.count_nonzero(colon & (levels == _IN_COLUMNS)))
        self.commas += int(np.count_nonzero(comma & (levels == _IN_A_LIST)))


def check_shape(body: bytes, rows: int, most_columns: int) -> None:
    """Raise where a body cannot be ``rows`` rows of at most ``most_columns`` columns, or would take too much memory.

    MalformedBody for what is nested too deeply or has too many columns, RowCountMismatch for columns of more than
    ``rows`` values, BodyTooLarge for more values than fit into MAX_HELD_BYTES. A body that passes may still be broken.
    """
    counts = _Counts()
    for kinds, levels in _outside_strings(_without_escapes(body)):
        if levels.max(initial=0) > MAX_DEPTH:
            raise MalformedBody(f"the JSON is nested more than {MAX_DEPTH} deep", "Give one value a row.")
        counts.add(kinds, levels)
        held = _CONTAINER_BYTES * counts.containers + _VALUE_BYTES * counts.separators
        if held + len(body) > MAX_HELD_BYTES:
            raise BodyTooLarge(
                f"the JSON holds {counts.containers + counts.separators} values or more", "Send smaller batches."
            )
    if counts.columns > most_columns:
        raise MalformedBody(f"the JSON has {counts.columns} columns; at most {most_columns} are read", "Send fewer.")
    if counts.commas > counts.columns * rows + _SLACK:
        raise RowCountMismatch(
            f"{rows} rows were declared and the JSON's {counts.columns} columns hold {counts.commas} values or more",
            "Send the number of data rows in X-QScore-Rows.",
        )


def _without_escapes(body: bytes) -> bytes:
    r"""Leave out \\ and \": what is left of a string ends at the first quote. Pairs of backslashes go first."""
    return body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body


def _outside_strings(body: bytes) -> Iterator[tuple[Kinds, Levels]]:
    """Give brackets, commas and colons outside strings block by block, each with the brackets open after it."""
    cells = np.frombuffer(body, np.uint8)
    quoted, level = 0, 0
    for start in range(0, len(cells), _BLOCK):
        kinds = _KIND[cells[start : start + _BLOCK]]
        kinds = kinds[kinds != 0]
        quotes = kinds == _QUOTE
        inside = np.cumsum(quotes, dtype=np.int32) + np.int32(quoted)
        quoted = int(inside[-1]) & 1 if len(inside) else quoted
        kinds = kinds[~quotes & (inside & 1 == 0)]
        levels = np.cumsum(_CHANGE[kinds], dtype=np.int32) + np.int32(level)
        level = int(levels[-1]) if len(levels) else level
        yield kinds, levels
