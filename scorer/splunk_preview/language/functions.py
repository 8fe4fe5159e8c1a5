"""The eval functions of the subset, by Splunk's names. A function that is not here is an error, never skipped."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.values import RowScope, Value, compare, number, packed, several, sort_key, text

Expression = Callable[[RowScope], Value]
MANY = 1000


@dataclass(frozen=True)
class SplFunction:
    """A function of the language. ``call`` gets ``low`` to ``high`` unevaluated arguments."""

    low: int
    high: int
    call: Callable[[RowScope, Sequence[Expression]], Value]


def _plain(call: Callable[..., Value]) -> Callable[[RowScope, Sequence[Expression]], Value]:
    """A function of its arguments' values."""
    return lambda scope, arguments: call(*(argument(scope) for argument in arguments))


def _not_null(call: Callable[..., Value]) -> Callable[[RowScope, Sequence[Expression]], Value]:
    """A function that is null where its first argument is."""

    def wrapped(first: Value, *rest: Value) -> Value:
        return None if first is None else call(first, *rest)

    return _plain(wrapped)


def _numeric(call: Callable[..., Value]) -> Callable[[RowScope, Sequence[Expression]], Value]:
    """A function of numbers that is null where one is none, or where the result is not defined."""

    def wrapped(*values: Value) -> Value:
        numbers = [number(value) for value in values]
        if any(n is None for n in numbers):
            return None
        try:
            return call(*numbers)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None

    return _plain(wrapped)


def _if(scope: RowScope, arguments: Sequence[Expression]) -> Value:
    condition, then, otherwise = arguments
    return then(scope) if condition(scope) is True else otherwise(scope)


def _case(scope: RowScope, arguments: Sequence[Expression]) -> Value:
    if len(arguments) % 2:
        raise SplError("case() needs pairs of condition and value")
    for condition, value in zip(arguments[::2], arguments[1::2], strict=True):
        if condition(scope) is True:
            return value(scope)
    return None


def _coalesce(scope: RowScope, arguments: Sequence[Expression]) -> Value:
    return next((value for argument in arguments if (value := argument(scope)) is not None), None)


def _mvindex(value: Value, start: Value, end: Value = None) -> Value:
    values, first = several(value), number(start)
    if first is None or not values:
        return None
    last = number(end) if end is not None else first
    if last is None:
        return None
    low, high = (int(i) + len(values) if i < 0 else int(i) for i in (first, last))
    return packed(values[max(low, 0) : high + 1]) if low >= 0 or end is not None else None


def _substr(value: Value, start: Value, length: Value = None) -> Value:
    string, first, count = text(value), number(start), number(length)
    if first is None:
        return None
    begin = int(first) - 1 if first > 0 else max(len(string) + int(first), 0)
    return string[begin:] if count is None else string[begin : begin + int(count)]


def _round(value: float, places: float = 0) -> Value:
    if abs(places) > 15:
        raise ValueError("more places than a float has")
    factor = 10 ** int(places)
    rounded = math.floor(value * factor + 0.5) / factor
    return int(rounded) if places == 0 else rounded


def _pattern(pattern: Value) -> re.Pattern[str]:
    return _compiled(text(pattern))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Splunk's PCRE spelling of named groups becomes Python's."""
    try:
        return re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern))
    except re.error as error:
        raise SplError(f"{pattern[:60]!r} is no regular expression of the subset: {error}") from None


def _like(value: Value, pattern: Value) -> Value:
    regex = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in text(pattern))
    return any(re.fullmatch(regex, text(v), re.S) for v in several(value))


def _extreme(largest: bool) -> Callable[..., Value]:
    def of(*values: Value) -> Value:
        known = [value for value in values if value is not None]
        return (max if largest else min)(known, key=sort_key) if known else None

    return of


def _strftime(time: float, form: str) -> Value:
    return datetime.fromtimestamp(time, UTC).strftime(form.replace("%3N", f"{round(time % 1 * 1000):03d}"))


def _time_text(value: Value, form: Value) -> Value:
    seconds = number(value)
    try:
        return None if seconds is None else _strftime(float(seconds), text(form))
    except (ValueError, OverflowError, OSError):  # a year that no calendar has
        return None


def _tostring(value: Value) -> Value:
    return None if value is None else text(value)


FUNCTIONS: dict[str, SplFunction] = {
    "if": SplFunction(3, 3, _if),
    "case": SplFunction(2, MANY, _case),
    "coalesce": SplFunction(1, MANY, _coalesce),
    "null": SplFunction(0, 0, lambda _scope, _arguments: None),
    "true": SplFunction(0, 0, lambda _scope, _arguments: True),
    "false": SplFunction(0, 0, lambda _scope, _arguments: False),
    "now": SplFunction(0, 0, lambda scope, _arguments: scope.now),
    "isnull": SplFunction(1, 1, _plain(lambda value: value is None)),
    "isnotnull": SplFunction(1, 1, _plain(lambda value: value is not None)),
    "isnum": SplFunction(1, 1, _plain(lambda value: number(value) is not None)),
    "nullif": SplFunction(2, 2, _plain(lambda a, b: None if compare(a, "=", b) else a)),
    "in": SplFunction(2, MANY, _plain(lambda value, *given: any(compare(value, "=", g) for g in given))),
    "match": SplFunction(2, 2, _plain(lambda value, p: any(_pattern(p).search(text(v)) for v in several(value)))),
    "like": SplFunction(2, 2, _plain(_like)),
    "lower": SplFunction(1, 1, _not_null(lambda value: text(value).lower())),
    "upper": SplFunction(1, 1, _not_null(lambda value: text(value).upper())),
    "len": SplFunction(1, 1, _not_null(lambda value: len(text(value)))),
    "trim": SplFunction(1, 2, _not_null(lambda value, chars=" \t": text(value).strip(text(chars)))),
    "substr": SplFunction(2, 3, _not_null(_substr)),
    "replace": SplFunction(3, 3, _not_null(lambda value, p, by: _pattern(p).sub(text(by), text(value)))),
    "split": SplFunction(2, 2, _not_null(lambda value, by: packed(text(value).split(text(by))))),
    "mvcount": SplFunction(1, 1, _not_null(lambda value: len(several(value)))),
    "mvindex": SplFunction(2, 3, _plain(_mvindex)),
    "mvjoin": SplFunction(2, 2, _not_null(lambda value, by: text(by).join(text(v) for v in several(value)))),
    "mvdedup": SplFunction(1, 1, _not_null(lambda value: packed(list(dict.fromkeys(several(value)))))),
    "mvsort": SplFunction(1, 1, _not_null(lambda value: packed(sorted(several(value), key=text)))),
    "mvappend": SplFunction(1, MANY, _plain(lambda *values: packed([v for value in values for v in several(value)]))),
    "tonumber": SplFunction(1, 1, _plain(number)),
    "tostring": SplFunction(1, 1, _plain(_tostring)),
    "floor": SplFunction(1, 1, _numeric(math.floor)),
    "ceiling": SplFunction(1, 1, _numeric(math.ceil)),
    "abs": SplFunction(1, 1, _numeric(abs)),
    "round": SplFunction(1, 2, _numeric(_round)),
    "sqrt": SplFunction(1, 1, _numeric(math.sqrt)),
    "pow": SplFunction(2, 2, _numeric(math.pow)),
    "ln": SplFunction(1, 1, _numeric(math.log)),
    "exp": SplFunction(1, 1, _numeric(math.exp)),
    "max": SplFunction(1, MANY, _plain(_extreme(True))),
    "min": SplFunction(1, MANY, _plain(_extreme(False))),
    "strftime": SplFunction(2, 2, _plain(_time_text)),
    "sha256": SplFunction(1, 1, _not_null(lambda value: hashlib.sha256(text(value).encode()).hexdigest())),
}


def function(name: str, arguments: Sequence[Expression]) -> Expression:
    """Compile a call of function ``name``. Raises SplError for an unknown name or a wrong number of arguments."""
    found = FUNCTIONS.get(name.lower())
    if found is None:
        raise SplError(f"{name}() is no eval function of the subset")
    if not found.low <= len(arguments) <= found.high or (name.lower() == "case" and len(arguments) % 2):
        raise SplError(f"{name}() cannot take {len(arguments)} arguments")
    return lambda scope: found.call(scope, arguments)
