"""What a recipe's inputs are made of, wherever an event's fields come from: conditions, port classes, aggregates."""

from __future__ import annotations

from functools import reduce
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.recipe.parts import Input, PortClass


class Fields(Protocol):
    """The fields and port classes of N events, each an array of N values."""

    @property
    def rows(self) -> int: ...

    def text(self, name: str) -> Any:
        """Get a field as text, null where missing; a key of rows is never missing."""

    def numbers(self, name: str) -> Any:
        """Get a field as float64, null where missing."""


def port_classes(port_class: PortClass, ports: Any) -> Any:
    """Find the class (N,) of each port, float64; the default where there is none. The first bin with a port wins."""
    result = pa.repeat(port_class.default, len(ports))
    for bin_ in reversed(port_class.bins):  # the first bin wins, so it is laid on top
        listed = pc.is_in(ports, pa.array(bin_.ports, pa.float64()))
        ranged = pc.and_(pc.greater_equal(ports, float(bin_.low)), pc.less_equal(ports, float(bin_.high)))
        result = pc.if_else(pc.fill_null(pc.or_(listed, ranged), False), bin_.name, result)
    return result


def operand(input_: Input, fields: Fields) -> Any:
    """Find what is aggregated (N,): for a count 0 or 1, else the field where the conditions hold and null elsewhere."""
    hits = [_holds(fields.text(condition.field), condition.values) for condition in input_.where]
    hit = reduce(pc.and_, hits) if hits else None
    if input_.op == "count":
        return pa.repeat(pa.scalar(1, pa.int64()), fields.rows) if hit is None else hit.cast(pa.int64())
    values = fields.text(input_.field) if input_.op == "dc" else fields.numbers(input_.field)
    return values if hit is None else pc.if_else(hit, values, pa.scalar(None, values.type))


def _holds(text: Any, values: tuple[str, ...]) -> Any:
    return pc.fill_null(pc.is_in(text, pa.array(values, pa.string())), False)


def of_single(input_: Input, fields: Fields) -> Any:
    """Compute the input (N,), float64, of N events that each are a row: an event is a window of one."""
    values = operand(input_, fields)
    return finished(input_, pc.is_valid(values) if input_.op == "dc" else values)


def finished(input_: Input, values: Any) -> Any:
    """Turn an aggregate (N,) into the column of a row: float64, 0 where nothing was seen and the recipe says so."""
    numbers = values.cast(pa.float64())
    return pc.fill_null(numbers, 0.0) if input_.zero else numbers
