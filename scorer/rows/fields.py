"""Fields of a file's events by the names that people's data has for them: text, numbers, times, port classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.cells import Floats, account, clean, parsed, seconds, unread
from scorer.rows.operands import port_classes
from scorer.rows.recipe import TIME, Recipe
from scorer.rows.recipe.parts import Field
from scorer.wire.errors import BadTrainingData

_SHOWN = 60


def resolve(recipe: Recipe, events: pa.Table) -> dict[str, pa.Array]:
    """Find one value per event of each field: ``time`` float64 epoch seconds, all else text; null where missing.

    Of a field's names (Splunk, ECS, Zeek, Windows, in that order) the first present and non-empty wins on every event
    by itself; "" and "-" count as missing. Port classes are among the fields and never null. Raises BadTrainingData for
    times that cannot be read, for lists, and when not one name of a key is a column.
    """
    found: dict[str, pa.Array] = {TIME: pa.nulls(events.num_rows, pa.float64())}
    for field in recipe.fields:
        found[field.name] = _time(field, events) if field.name == TIME else _text(field, events)
    _check_present(recipe, events)
    for port_class in recipe.classes:
        found[port_class.name] = port_classes(port_class, numeric(port_class.of, found[port_class.of]))
    return found


def numeric(name: str, values: pa.Array) -> pa.Array:
    """Read text (N,) as float64 (N,); raises BadTrainingData naming the first value that is no number."""
    if not pa.types.is_string(values.type):
        return values.cast(pa.float64())
    found = parsed(values)
    wrong = unread(values, found)
    if wrong:
        raise BadTrainingData(
            f"{name} holds {_shown(values[wrong[0]])}, which is not a number", "Correct it or empty it."
        )
    return found


def input_numbers(name: str, column: pa.Array) -> Floats:
    """Read an input's column of a file of rows as float64 (N,), NaN where empty; raises as `numeric` does."""
    numbers = numeric(name, column if pa.types.is_floating(column.type) else _flat(name, column))
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


@dataclass(frozen=True, eq=False)
class EventFields:
    """`operands.Fields` of a file's events: ``found`` by `resolve`, keys filled. A word for a number ends it all."""

    found: Mapping[str, pa.Array]
    rows: int

    def text(self, name: str) -> Any:
        return self.found[name]

    def numbers(self, name: str) -> Any:
        return numeric(name, self.found[name])


def _names(field: Field) -> list[tuple[str, float]]:
    """List column names in the order of preference, each with the factor on its values."""
    scaled = [(name, field.scale_ecs) for name in field.ecs]
    return [
        *((name, 1.0) for name in field.splunk),
        *scaled,
        *((name, 1.0) for name in (*field.zeek, *field.windows)),
    ]


def _check_present(recipe: Recipe, events: pa.Table) -> None:
    sources = {c.name: c.of for c in recipe.classes}
    for key in recipe.keys:
        names = [name for name, _ in _names(recipe.field_by_name[sources.get(key, key)])]
        if not set(names) & set(events.column_names):
            raise BadTrainingData(
                f"the events have no column for {key}; it may be called {', '.join(names)}",
                f"Columns found: {', '.join(events.column_names[:20])}.",
            )


def _text(field: Field, events: pa.Table) -> pa.Array:
    columns = [_column(events, name, factor) for name, factor in _names(field) if name in events.column_names]
    if not columns:
        return pa.nulls(events.num_rows, pa.string())
    value = pc.coalesce(*columns) if len(columns) > 1 else columns[0]
    return account(value) if field.account else value


def _column(events: pa.Table, name: str, factor: float) -> pa.Array:
    text = _flat(name, events[name].combine_chunks())
    return text if factor == 1.0 else clean(pc.multiply(numeric(name, text), factor))


def _flat(name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_nested(column.type):
        raise BadTrainingData(f"the column {name} holds lists", "Give one value per event: expand or join the lists.")
    return clean(column)


def _time(field: Field, events: pa.Table) -> pa.Array:
    names = [name for name, _ in _names(field) if name in events.column_names]
    columns = [_seconds(name, events[name].combine_chunks()) for name in names]
    if not columns:
        return pa.nulls(events.num_rows, pa.float64())
    times = pc.coalesce(*columns)
    wrong = times.filter(pc.or_(pc.less_equal(times, 0.0), pc.greater_equal(times, 1e11)))
    if len(wrong):
        raise BadTrainingData(
            f"{names[0]} holds {_shown(wrong[0])}, which is not a time in epoch seconds",
            "Give epoch seconds (not milliseconds) or ISO 8601.",
        )
    return times


def _seconds(name: str, column: pa.Array) -> pa.Array:
    found = seconds(column)
    if pa.types.is_timestamp(column.type):
        return found
    text = clean(column)
    wrong = unread(text, found)
    if wrong:
        raise BadTrainingData(
            f"{name} holds {_shown(text[wrong[0]])}, which is no time ({len(wrong)} such events)",
            "Give epoch seconds or ISO 8601, such as 2026-01-31T08:15:00Z.",
        )
    return found


def _shown(value: pa.Scalar) -> str:
    return repr(str(value.as_py())[:_SHOWN])
