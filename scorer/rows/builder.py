"""Rows from events: what the macros do in Splunk and aggregations in Elasticsearch, done exactly on a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.columns import TIME_COLUMN
from scorer.rows.fields import EventFields, resolve
from scorer.rows.operands import Fields, finished, of_single, operand
from scorer.rows.recipe import TIME, Recipe
from scorer.rows.recipe.parts import Input
from scorer.wire.errors import BadTrainingData

_SLOT = "__slot"  # what makes a window of its own: its start, or with grain "event" the event's position
_AGGREGATES = {"count": "sum", "dc": "count_distinct", "sum": "sum", "min": "min", "max": "max"}
LABEL, GROUP = "__label", "__group"


@dataclass(frozen=True)
class Columns:
    """Names of columns beside the fields. ``positive``: the label's value that is malicious; None: 1 or true."""

    label: str | None = None
    positive: str | None = None
    group: str | None = None


def is_rows(recipe: Recipe, table: pa.Table) -> bool:
    """Tell whether the file holds rows already: every input that a row cannot do without is a column."""
    return {i.name for i in recipe.inputs if not i.zero} <= set(table.column_names)


def build_rows(recipe: Recipe, events: pa.Table, grain: str | None = None, columns: Columns = Columns()) -> pa.Table:
    """Build rows of ``events``: ``_time``, keys, every input, and the label (0 or 1) and group under their own names.

    ``_time`` is the start of the window (a multiple of the span, UTC) or the event's own time; a window's label is the
    largest of its events' labels, its group the first in order. Rows stand in order of time. Counts are exact. Raises
    BadTrainingData for events that no row can be made of.
    """
    grain = grain or recipe.grain
    found = resolve(recipe, events)
    found |= {key: pc.fill_null(found[key], recipe.null_key) for key in recipe.keys}
    base = _base(recipe, events, found, grain, columns)
    fields = EventFields(found, events.num_rows)
    rows = _single(recipe, base, fields) if grain == "event" else _windows(recipe, base, fields)
    return _finished(recipe, rows, columns)


def labels(table: pa.Table, columns: Columns) -> pa.Array:
    """Read the label column (N,) as int64 0 or 1, null where it is empty (with ``positive``: 0 for all other values).

    Raises BadTrainingData when it is absent, holds something else, or never holds ``positive``.
    """
    if columns.label is None or columns.label not in table.column_names:
        raise BadTrainingData(
            f"there is no label column {columns.label!r}", f"Columns found: {', '.join(table.column_names[:30])}."
        )
    text = pc.utf8_lower(pc.utf8_trim_whitespace(table[columns.label].combine_chunks().cast(pa.string())))
    if columns.positive is not None:
        return _named_positive(text, columns.positive, columns.label)
    plain = pc.is_in(text, pa.array(["0", "1", "0.0", "1.0", "true", "false"]))
    wrong = text.filter(pc.and_(pc.invert(plain), pc.is_valid(text)))
    if len(wrong):
        raise BadTrainingData(
            f"the label column {columns.label} holds {str(wrong[0].as_py())[:60]!r}",
            "Say which value is malicious: --positive VALUE.",
        )
    malicious = pc.is_in(text, pa.array(["1", "1.0", "true"])).cast(pa.int64())
    return pc.if_else(pc.is_valid(text), malicious, pa.scalar(None, pa.int64()))


def _named_positive(text: pa.Array, positive: str, column: str) -> pa.Array:
    wanted = positive.strip().lower()
    hits = pc.fill_null(pc.equal(text, wanted), False).cast(pa.int64())
    if pc.sum(hits).as_py() == 0:
        found = ", ".join(str(v)[:40] for v in pc.unique(text).to_pylist()[:10])
        raise BadTrainingData(f"no row of {column} holds {positive!r}", f"Its values are: {found}.")
    return hits


def _base(recipe: Recipe, events: pa.Table, found: dict[str, pa.Array], grain: str, columns: Columns) -> pa.Table:
    """Make one line per event: keys, slot, time, and what is carried along."""
    base = {key: found[key] for key in recipe.keys}
    base[TIME_COLUMN], base[_SLOT] = _slots(recipe, found[TIME], grain)
    if columns.label is not None:
        base[LABEL] = labels(events, columns)
    if columns.group is not None:
        base[GROUP] = _groups(events, columns.group)
    if grain == "event" and "origin_id" in found:
        base["origin_id"] = found["origin_id"]
    return pa.table(base)


def _slots(recipe: Recipe, time: pa.Array, grain: str) -> tuple[pa.Array, pa.Array]:
    if grain == "event":
        return time, pa.array(np.arange(len(time), dtype=np.float64))
    if time.null_count:
        raise BadTrainingData(
            f"{time.null_count} of {len(time)} events have no time, so that they belong to no window",
            "Give each event a time, or make every event a row of its own: --grain event.",
        )
    start = pc.multiply(pc.floor(pc.divide(time, float(recipe.span))), float(recipe.span))
    return start, start


def _groups(events: pa.Table, name: str) -> pa.Array:
    if name not in events.column_names:
        raise BadTrainingData(f"there is no group column {name!r}", f"Columns: {', '.join(events.column_names[:30])}.")
    return pc.fill_null(events[name].combine_chunks().cast(pa.string()), "")


def _single(recipe: Recipe, base: pa.Table, fields: Fields) -> pa.Table:
    """Make one line per event with each input under its own name."""
    for input_ in recipe.inputs:
        base = base.append_column(input_.name, of_single(input_, fields))
    return base


def _windows(recipe: Recipe, base: pa.Table, fields: Fields) -> pa.Table:
    """Make one line per window and keys with each input under its own name."""
    carried = {TIME_COLUMN: "min", LABEL: "max", GROUP: "min"}
    extras = [(name, how) for name, how in carried.items() if name in base.column_names]
    rows = _aggregated(base, [*recipe.keys, _SLOT], recipe.inputs_over(()), fields, extras)
    for over in recipe.overs:
        rows = rows.join(_aggregated(base, [*over, _SLOT], recipe.inputs_over(over), fields, []), [*over, _SLOT])
    return rows


def _aggregated(
    base: pa.Table, keys: list[str], inputs: tuple[Input, ...], fields: Fields, extras: list[tuple[str, str]]
) -> pa.Table:
    """Make one line per distinct ``keys`` with each input under its own name."""
    table = base.select([*keys, *(name for name, _ in extras)])
    for input_ in inputs:
        table = table.append_column(f"in:{input_.name}", operand(input_, fields))
    wanted = [(f"in:{i.name}", _AGGREGATES[i.op]) for i in inputs]
    grouped = table.group_by(keys, use_threads=False).aggregate([*extras, *wanted])
    names = {f"{name}_{how}": name.removeprefix("in:") for name, how in [*extras, *wanted]}
    return grouped.rename_columns([names.get(name, name) for name in grouped.column_names])


def _finished(recipe: Recipe, rows: pa.Table, columns: Columns) -> pa.Table:
    order = [(TIME_COLUMN, "ascending"), (_SLOT, "ascending"), *((key, "ascending") for key in recipe.keys)]
    rows = rows.sort_by(order)
    result = {name: rows[name] for name in (TIME_COLUMN, *recipe.keys, "origin_id") if name in rows.column_names}
    for input_ in recipe.inputs:
        result[input_.name] = finished(input_, rows[input_.name])
    for name, kept in ((columns.label, LABEL), (columns.group, GROUP)):
        if name is not None:
            result[name] = rows[kept]
    return pa.table(result)
