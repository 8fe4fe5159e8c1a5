"""Fields of documents as columns: nested or flattened, scalars or arrays, whatever type the JSON has.

What a cell's text means is said by `scorer.rows.cells`. The fast way is a field that pyarrow takes at once. Only where
it refuses are cells looked at one by one; what is then wrong with a cell is said for its row alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows import cells
from scorer.rows.defects import Defect

#: No time in seconds is that large; the number is milliseconds, Elasticsearch's own default.
_MILLISECONDS = 1e11


@dataclass(frozen=True)
class FieldPath:
    """A dotted name and the ways in which a document may spell it: ``{"a": {"b": 1}}``, ``{"a.b": 1}``."""

    name: str
    parts: tuple[str, ...]
    #: For each place in the path, the keys that may stand there and the place that each leads to.
    steps: tuple[tuple[tuple[str, int], ...], ...]

    @classmethod
    def of(cls, name: str) -> FieldPath:
        parts = tuple(name.split("."))
        ends = range(len(parts))
        steps = tuple(tuple((".".join(parts[at:to]), to) for to in range(at + 1, len(parts) + 1)) for at in ends)
        return cls(name, parts, steps)

    def find(self, source: Any) -> Any:
        """Find the value; None where there is none. Values below an array of objects come as one list."""
        return self._find(source, 0)

    def _find(self, node: Any, at: int) -> Any:
        if at == len(self.parts):
            return node
        if type(node) is dict:
            for key, to in self.steps[at]:
                if key in node:
                    found = self._find(node[key], to)
                    if found is not None:
                        return found
        elif type(node) is list:
            found = [value for item in _objects(node) if (value := self._find(item, at)) is not None]
            flat = [v for value in found for v in (value if type(value) is list else [value])]
            return flat or None
        return None

    def values(self, sources: Sequence[Any]) -> list[Any]:
        """Return one value per document; the usual spelling, two nested objects, is read without a call."""
        if len(self.parts) != 2:
            return [self._find(source, 0) for source in sources]
        outer, inner = self.parts
        found = []
        for source in sources:
            node = source.get(outer)
            value = node.get(inner) if type(node) is dict else None
            found.append(self._find(source, 0) if value is None else value)
        return found


def _objects(node: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects in an array, in order, however deep arrays lie in arrays: a document may hold a thousand."""
    waiting = [iter(node)]
    while waiting:
        for item in waiting[-1]:
            if type(item) is list:
                waiting.append(iter(item))
                break
            if type(item) is dict:
                yield item
        else:
            waiting.pop()


@dataclass(frozen=True)
class Column:
    """One field: ``values`` as text (trimmed, null where missing) or as numbers; ``defects``: by row."""

    name: str
    values: Any
    defects: dict[int, Defect] = field(default_factory=dict)

    def text(self) -> Any:
        """Return the column as text, (n,), as build_rows sees it: whole numbers without JSON's ".0"."""
        return self.values if pa.types.is_string(self.values.type) else cells.clean(self.values)

    def numbers(self) -> tuple[Any, dict[int, Defect]]:
        """Return the column as (n,) float64, null where missing or unusable, and what is wrong with which row."""
        if not pa.types.is_string(self.values.type):
            return self.values.cast(pa.float64(), safe=False), {}
        numbers = cells.parsed(self.values)
        wrong = cells.unread(self.values, numbers)
        return numbers, {row: cells.no_number(self.name, self.values[row].as_py()) for row in wrong}


def column(paths: Sequence[FieldPath], sources: Sequence[Any], scale: float = 1.0, account: bool = False) -> Column:
    """Read a field that documents may call by several names; on every document the first that is not empty wins.

    ``scale``: factor that makes the document's number the recipe's. ``account``: lower case, without "@..." at the end.
    """
    found = [_read(path, path.values(sources)) for path in paths]
    if not found:
        return Column("", pa.nulls(len(sources), pa.string()))
    if scale != 1.0:
        found = [_scaled(one, scale) for one in found]
    merged = found[0] if len(found) == 1 else _first_of(found)
    return Column(merged.name, cells.account(merged.text()), merged.defects) if account else merged


def _first_of(found: Sequence[Column]) -> Column:
    if all(pa.types.is_integer(one.values.type) for one in found):
        arrays = [one.values.cast(pa.int64()) for one in found]
    else:
        arrays = [one.text() for one in found]
    # A name that holds something unusable still wins over the names after it: else a score would rest on a guess.
    defects: dict[int, Defect] = {}
    for at, one in enumerate(found):
        earlier = arrays[:at]
        for row, defect in one.defects.items():
            if row not in defects and not any(array[row].is_valid for array in earlier):
                defects[row] = defect
    return Column(found[0].name, pc.coalesce(*arrays), defects)


def _scaled(one: Column, scale: float) -> Column:
    numbers, defects = one.numbers()
    return Column(one.name, pc.multiply(numbers, scale), {**defects, **one.defects})


def _read(path: FieldPath, values: list[Any]) -> Column:
    """Read a column (n,) of text, or of integers where every value is one."""
    try:
        return Column(path.name, cells.clean(pa.array(values, pa.string())))
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        pass
    try:
        numbers = pa.array(values)
        if pa.types.is_integer(numbers.type):
            return Column(path.name, numbers)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError):
        pass
    return _cell_by_cell(path.name, values)


def _cell_by_cell(name: str, values: list[Any]) -> Column:
    defects: dict[int, Defect] = {}
    texts: list[str | None] = []
    for row, value in enumerate(values):
        text, defect = _scalar(name, value)
        texts.append(text)
        if defect:
            defects[row] = defect
    return Column(name, cells.clean(pa.array(texts, pa.string())), defects)


def _scalar(name: str, value: Any) -> tuple[str | None, Defect | None]:
    """Read a value as text, and a defect where it is none. An array of one element is its element."""
    if type(value) is list:
        values = [v for v in value if v is not None and v != "" and v != []]
        if len(values) == 1 and type(values[0]) is not list:
            return _scalar(name, values[0])
        return None, Defect("multivalue", f"{name} holds {len(values)} values; one is needed") if values else None
    if value is None:
        return None, None
    if type(value) is dict:
        return None, Defect("not_a_number", f"{name} holds an object; a single value is needed")
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    return str(value)[: cells.MAX_TEXT].encode("utf-8", "replace").decode(), None


def times(paths: Sequence[FieldPath], sources: Sequence[Any]) -> tuple[Any, dict[int, Defect]]:
    """Read times as epoch seconds, (n,) float64, null where there is none; row -> status where one cannot be read.

    ISO 8601 (without a zone: UTC), or a number: milliseconds, and below 1e11 seconds.
    """
    one = column(paths, sources)
    text = one.text()
    seconds = cells.moments(text)
    seconds = pc.if_else(pc.greater_equal(seconds, _MILLISECONDS), pc.divide(seconds, 1e3), seconds)
    usable = pc.fill_null(pc.and_(pc.greater(seconds, 0.0), pc.less(seconds, _MILLISECONDS)), False)
    seconds = pc.if_else(usable, seconds, pa.scalar(None, pa.float64()))
    name = one.name or "the time"
    rows = pc.indices_nonzero(pc.invert(usable)).to_pylist()
    wrong = {row: one.defects.get(row) or _no_time(name, text[row].as_py()) for row in rows}
    return seconds, wrong


def _no_time(name: str, text: str | None) -> Defect:
    return Defect("bad_context", f"{name} is {cells.shown(text)}, which is no time" if text else f"{name} is missing")
