"""The aggregations of stats, eventstats and tstats: `count`, `sum(x) as y`, `count(eval(...)) by a b`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.evaluate import compile_expression
from scorer.splunk_preview.language.functions import Expression
from scorer.splunk_preview.language.text import closing, unquote
from scorer.splunk_preview.language.values import Row, RowScope, Value, number, packed, several, sort_key, text

Values = Sequence[str | int | float]

_NAME = re.compile(r"[A-Za-z_][A-Za-z_]*")
_FIELD = r'(?:"[^"]+"|[^\s,()"]+)'
_AS = re.compile(rf"\s+as\s+({_FIELD})", re.IGNORECASE)
_BY = re.compile(r"(?:^|\s)by(?=\s|$)", re.IGNORECASE)


def _numbers(values: Values) -> list[int | float]:
    return [n for value in values if (n := number(value)) is not None]


def _average(values: Values) -> Value:
    numbers = _numbers(values)
    return sum(numbers) / len(numbers) if numbers else None


#: Name -> the aggregate of a field's non-null values, in row order. Without values: null, but count and dc are 0.
AGGREGATES: dict[str, Callable[[Values], Value]] = {
    "count": len,
    "dc": lambda values: len({text(value) for value in values}),
    "sum": lambda values: sum(numbers) if (numbers := _numbers(values)) else None,
    "avg": _average,
    "min": lambda values: min(values, key=sort_key) if values else None,
    "max": lambda values: max(values, key=sort_key) if values else None,
    "values": lambda values: packed(sorted({text(value) for value in values})),
    "list": lambda values: packed(list(values[:100])),
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
}


@dataclass(frozen=True)
class Aggregation:
    """One column of the result. ``operand`` gives a row's values; None: the row itself counts."""

    name: str
    function: str
    operand: Callable[[Row, float], Values] | None

    def of(self, rows: Sequence[Row], now: float) -> Value:
        if self.operand is None:
            return len(rows)
        return AGGREGATES[self.function]([value for row in rows for value in self.operand(row, now)])


@dataclass(frozen=True)
class Grouping:
    """Aggregations by fields."""

    aggregations: tuple[Aggregation, ...]
    by: tuple[str, ...]

    def results(self, rows: Sequence[Row], now: float) -> dict[str, Value]:
        """Compute the aggregates of one group; what is null is left out."""
        found = {a.name: a.of(rows, now) for a in self.aggregations}
        return {name: value for name, value in found.items() if value is not None}


def parse_grouping(command: str, source: str) -> Grouping:
    """Parse `aggregations [by fields]`. Raises SplError for an unknown function, a missing name, missing fields."""
    before, fields = split_by(source)
    by = field_list(fields) if fields is not None else ()
    if fields is not None and not by:
        raise SplError(f"{command}: `by` names no field")
    aggregations = tuple(_aggregations(command, before))
    if not aggregations:
        raise SplError(f"{command} aggregates nothing: {source.strip()[:60]}")
    names = [a.name for a in aggregations] + list(by)
    if len(set(names)) < len(names):
        raise SplError(f"{command} names a column twice: {', '.join(n for n in names if names.count(n) > 1)}")
    return Grouping(aggregations, by)


def split_by(source: str) -> tuple[str, str | None]:
    """Split at the last top-level `by`: what stands before and after it."""
    found = None
    at = 0
    while at < len(source):
        if source[at] == "(":
            at = closing(source, at)
        elif (match := _BY.match(source, at)) is not None:
            found = match
            at = match.end() - 1
        at += 1
    return (source, None) if found is None else (source[: found.start()], source[found.end() :])


def field_list(source: str) -> tuple[str, ...]:
    """Read field names separated by blanks or commas. Raises SplError for a name with quotes or brackets."""
    names = re.findall(_FIELD, source)
    if re.sub(rf"{_FIELD}|[\s,]", "", source):
        raise SplError(f"{source.strip()[:60]!r} is no list of fields")
    return tuple(unquote(name) for name in names)


def _aggregations(command: str, source: str) -> Iterable[Aggregation]:
    at, end = 0, len(source.rstrip())
    while at < end:
        if source[at] in " ,\t\n":
            at += 1
            continue
        match = _NAME.match(source, at)
        if match is None or match.group().lower() not in AGGREGATES:
            raise SplError(f"{command}: {source[at : at + 30].split()[0]!r} is no aggregate function of the subset")
        function, at, argument = match.group().lower(), match.end(), None
        if at < end and source[at] == "(":
            close = closing(source, at)
            argument, at = source[at + 1 : close].strip(), close + 1
        name = None
        if (alias := _AS.match(source, at)) is not None:
            name, at = unquote(alias.group(1)), alias.end()
        elif re.match(r"\s+as\s*\Z", source[at:end] + " ", re.IGNORECASE):
            raise SplError(f"{command}: `as` names nothing")
        yield _aggregation(command, function, argument, name)


def _aggregation(command: str, function: str, argument: str | None, name: str | None) -> Aggregation:
    if not argument:
        if function != "count" or argument == "":
            raise SplError(f"{command}: {function} needs a field in parentheses")
        return Aggregation(name or "count", function, None)
    label = name or f"{function}({argument})"
    if argument.startswith("eval(") and argument.endswith(")"):
        if name is None:
            raise SplError(f"{command}: {function}({argument}) needs `as` and a name")
        return Aggregation(label, function, _evaluated(function, compile_expression(argument[5:-1])))
    fields = field_list(argument)
    if len(fields) != 1 or "*" in argument:
        raise SplError(f"{command}: {function}({argument}) is outside the subset")
    return Aggregation(label, function, lambda row, _now: several(row.get(fields[0])))


def _evaluated(function: str, expression: Expression) -> Callable[[Row, float], Values]:
    def values(row: Row, now: float) -> Values:
        value = expression(RowScope(row, now))
        if function == "count":
            return [1] if value is True else []
        return [] if isinstance(value, bool) else several(value)

    return values


def grouped(rows: Iterable[Row], by: Sequence[str]) -> list[tuple[tuple[str | int | float, ...], list[Row]]]:
    """Group rows by the values of ``by``, in the values' order. A null drops the row, several values repeat it."""
    groups: dict[tuple[str, ...], tuple[tuple[str | int | float, ...], list[Row]]] = {}
    for row in rows:
        for values in _combinations([several(row.get(name)) for name in by]):
            key = tuple(text(value) for value in values)
            groups.setdefault(key, (values, []))[1].append(row)
    return sorted(groups.values(), key=lambda group: [sort_key(value) for value in group[0]])


def _combinations(columns: Sequence[Values]) -> list[tuple[str | int | float, ...]]:
    found: list[tuple[str | int | float, ...]] = [()]
    for column in columns:
        found = [(*before, value) for before in found for value in column]
    return found
