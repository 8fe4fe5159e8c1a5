"""Fields of events by the names that people's data has for them: text, numbers, times, port classes."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.recipe import Field, PortClass, Recipe
from scorer.wire.errors import BadTrainingData

_ZONE = r"(Z|[+-]\d\d:\d\d)$"
_BARE_ZONE = r"(:\d\d(?:\.\d+)?[+-]\d\d)(\d\d)$"  # Splunk writes +0000


def resolve(recipe: Recipe, events: pa.Table) -> dict[str, pa.Array]:
    """Field name -> one value per event: ``time`` float64 epoch seconds, all else text; null where missing.

    Of a field's names (Splunk, ECS, Zeek, Windows, in that order) the first present and non-empty wins on every
    event by itself; "" and "-" count as missing. Port classes are among the fields and never null. Raises
    BadTrainingData for times that cannot be read, for lists, and when not one name of a key is a column.
    """
    found: dict[str, pa.Array] = {}
    for field in recipe.fields:
        found[field.name] = _time(field, events) if field.name == "time" else _text(field, events)
    _check_present(recipe, events)
    for port_class in recipe.classes:
        found[port_class.name] = _classes(port_class, found[port_class.of])
    return found


def numeric(name: str, values: pa.Array) -> pa.Array:
    """Text -> float64; raises BadTrainingData naming the first value that is no number."""
    try:
        return values.cast(pa.float64())
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(values, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        wrong = values.filter(pc.invert(plain))
        raise BadTrainingData(
            f"{name} holds {_first(wrong)}, which is not a number", "Correct it or empty it."
        ) from None


def _names(field: Field) -> list[tuple[str, float]]:
    """Column names in the order of preference, each with the factor on its values."""
    scaled = [(name, field.scale_ecs) for name in field.ecs]
    return [
        *((name, 1.0) for name in field.splunk),
        *scaled,
        *((name, 1.0) for name in (*field.zeek, *field.windows)),
    ]


def _check_present(recipe: Recipe, events: pa.Table) -> None:
    fields = {f.name: f for f in recipe.fields}
    sources = {c.name: c.of for c in recipe.classes}
    for key in recipe.keys:
        names = [name for name, _ in _names(fields[sources.get(key, key)])]
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
    return _account(value) if field.normalise == "account" else value


def _column(events: pa.Table, name: str, factor: float) -> pa.Array:
    column = events[name].combine_chunks()
    if pa.types.is_nested(column.type):
        raise BadTrainingData(f"the column {name} holds lists", "Give one value per event: expand or join the lists.")
    if factor != 1.0:
        column = pc.multiply(numeric(name, _clean(column)), factor)
    return _clean(column)


def _clean(column: pa.Array) -> pa.Array:
    """As trimmed text; "" and "-" null; whole numbers without the ".0" that spreadsheets and pandas add."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    text = pc.if_else(pc.is_in(text, pa.array(["", "-"])), pa.scalar(None, pa.string()), text)
    return pc.replace_substring_regex(text, r"^([+-]?\d+)\.0+$", r"\1")


def _account(value: pa.Array) -> pa.Array:
    return _clean(pc.replace_substring_regex(pc.utf8_lower(value), "@.*$", ""))


def _time(field: Field, events: pa.Table) -> pa.Array:
    names = [name for name, _ in _names(field) if name in events.column_names]
    columns = [_seconds(name, events[name].combine_chunks()) for name in names]
    if not columns:
        return pa.nulls(events.num_rows, pa.float64())
    seconds = pc.coalesce(*columns)
    wrong = seconds.filter(pc.or_(pc.less_equal(seconds, 0.0), pc.greater_equal(seconds, 1e11)))
    if len(wrong):
        raise BadTrainingData(
            f"{names[0]} holds {_first(wrong)}, which is not a time in epoch seconds",
            "Give epoch seconds (not milliseconds) or ISO 8601.",
        )
    return seconds


def _seconds(name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return _epoch(column)
    text = _clean(column)
    plain = pc.fill_null(pc.match_substring_regex(text, r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$"), False)
    nothing = pa.scalar(None, pa.string())
    numbers = pc.if_else(plain, text, nothing).cast(pa.float64())
    dates = pc.replace_substring_regex(pc.if_else(plain, nothing, text), _BARE_ZONE, r"\1:\2")
    zoned = pc.fill_null(pc.match_substring_regex(dates, _ZONE), False)
    try:
        aware = pc.if_else(zoned, dates, nothing).cast(pa.timestamp("ns", "UTC"))
        naive = pc.if_else(zoned, nothing, dates).cast(pa.timestamp("ns"))
    except pa.ArrowInvalid as error:
        remedy = "Give epoch seconds or ISO 8601, such as 2026-01-31T08:15:00Z."
        raise BadTrainingData(f"the times in {name} cannot be read: {str(error)[:160]}", remedy) from None
    return pc.coalesce(numbers, _epoch(aware), _epoch(naive))


def _epoch(times: pa.Array) -> pa.Array:
    """Float64 seconds of a timestamp column; a time without a zone is UTC."""
    unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[times.type.unit]
    return pc.divide(times.cast(pa.int64()).cast(pa.float64(), safe=False), unit)


def _classes(port_class: PortClass, ports: pa.Array) -> pa.Array:
    number = numeric(port_class.of, ports)
    result = pa.array([port_class.default]).take(pa.array([0] * len(ports), pa.int32()))
    for bin_ in reversed(port_class.bins):  # the first bin wins, so it is laid on top
        listed = pc.is_in(number, pa.array(bin_.ports, pa.float64()))
        ranged = pc.and_(pc.greater_equal(number, float(bin_.low)), pc.less_equal(number, float(bin_.high)))
        result = pc.if_else(pc.fill_null(pc.or_(listed, ranged), False), bin_.name, result)
    return result


def _first(values: pa.Array) -> str:
    return repr(str(values[0].as_py())[:60]) if len(values) else "something"
