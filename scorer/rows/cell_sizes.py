"""How much memory a body's columns take once their cells are read: asked before any of them is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.cells import TEXT_TYPES, is_any
from scorer.wire.errors import BodyTooLarge

#: Bytes that the columns of one batch may take as numbers and as Python's text.
MAX_HELD_BYTES = 256 * 1024 * 1024
#: Python's own part of a text, and the most that one character takes.
_TEXT_OBJECT, _WIDEST = 64, 4
#: A number or a time as text, its object included: a decimal has 76 digits at most.
_WRITTEN_NUMBER = 160
_NUMBER = 8


def check_held(columns: Mapping[str, Any], spoken: frozenset[str]) -> None:
    """Raise BodyTooLarge where pyarrow arrays would take more than MAX_HELD_BYTES once their cells are read.

    ``spoken``: the columns that are read as Python's text; all others become float64.
    """
    sizes = {name: held_bytes(column, name in spoken) for name, column in columns.items()}
    total = sum(sizes.values())
    if total > MAX_HELD_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise BodyTooLarge(
            f"the columns take {total} bytes, {sizes[largest]} of them for {largest[:80]}; "
            f"{MAX_HELD_BYTES} are possible",
            "Send smaller batches, or shorter texts.",
        )


def held_bytes(column: Any, spoken: bool) -> int:
    """Estimate, from above, the bytes of a column once its cells are read; nothing of it is copied."""
    words = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not is_any(words.type, TEXT_TYPES):
        return len(column) * (_WRITTEN_NUMBER if spoken else _NUMBER)
    size = _text_bytes(words, column)
    if not spoken:
        return size + len(column) * _NUMBER
    return size * (1 if _is_ascii(words) else _WIDEST) + len(column) * _TEXT_OBJECT


def _text_bytes(words: Any, column: Any) -> int:
    """Sum the bytes of all cells; ``words``: the column itself, or its dictionary."""
    lengths = pc.binary_length(words).cast(pa.int64())
    if words is not column:
        lengths = lengths.take(column.indices)
    return pc.sum(lengths).as_py() or 0


def _is_ascii(words: Any) -> bool:
    """Tell whether all text is ASCII, which Python keeps in one byte a character."""
    return len(words) == 0 or pc.all(pc.string_is_ascii(words.view(_AS_TEXT[words.type]))).as_py() is not False


#: Bytes seen as text: whether they are ASCII can be asked of text alone.
_AS_TEXT = {
    pa.string(): pa.string(),
    pa.large_string(): pa.large_string(),
    pa.binary(): pa.string(),
    pa.large_binary(): pa.large_string(),
}
