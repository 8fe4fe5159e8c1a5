"""Values of fields and how Splunk compares them: text that looks like a number is one.

Not the cells of `scorer.rows.cells`: here the rules are Splunk's, value by value, so that macros can be held against
what the product reads. The two must be able to differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Scalar = str | int | float | bool
Value = Scalar | Sequence[str | int | float] | None
Row = Mapping[str, Value]

_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")


@dataclass(frozen=True)
class Scope:
    """What an expression is evaluated over: a row, and the epoch second at which the search started."""

    row: Row
    now: float


def number(value: Value) -> int | float | None:
    """The number that a value is or looks like."""
    if isinstance(value, bool) or value is None or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.match(text):
            return int(text)
        return float(text) if _DECIMAL.match(text) else None
    return value if math.isfinite(value) else None


def text(value: Value) -> str:
    """As Splunk prints a value; several are joined by line breaks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value) if isinstance(value, (str, int)) else "\n".join(text(v) for v in value)


def several(value: Value) -> list[str | int | float]:
    """The values of a field, none where it is null."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [text(value)]
    return [value] if isinstance(value, (str, int, float)) else list(value)


def packed(values: Sequence[str | int | float]) -> Value:
    """The inverse of several."""
    if not values:
        return None
    return values[0] if len(values) == 1 else list(values)


def compare(left: Value, operator: str, right: Value) -> bool | None:
    """Null where either side is null; true where any pair of a multivalue field fits."""
    if left is None or right is None:
        return None
    return any(_compare(a, operator, b) for a in several(left) for b in several(right))


def _compare(left: Scalar, operator: str, right: Scalar) -> bool:
    a, b = number(left), number(right)
    if a is None or b is None:
        return _order(text(left), operator, text(right))
    return _order(a, operator, b)


_Ordered = TypeVar("_Ordered", str, float)


def _order(a: _Ordered, operator: str, b: _Ordered) -> bool:
    results = {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}
    return results["=" if operator == "==" else operator]


def sort_key(value: Value) -> tuple[int, float, str]:
    """Numbers before texts, nothing last."""
    if value is None:
        return (2, 0.0, "")
    as_number = number(value)
    return (1, 0.0, text(value)) if as_number is None else (0, float(as_number), "")
