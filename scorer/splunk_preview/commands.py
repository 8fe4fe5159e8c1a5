"""Commands that take rows one by one or reorder them: search, where, eval, fields, table, rename, sort, dedup, ..."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable

from scorer.splunk_preview.environment import Environment, Rows
from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.aggregate import field_list
from scorer.splunk_preview.language.evaluate import compile_expression
from scorer.splunk_preview.language.searching import compile_search
from scorer.splunk_preview.language.text import split_top, unquote
from scorer.splunk_preview.language.times import span_seconds
from scorer.splunk_preview.language.values import Row, RowScope, Value, number, sort_key, text

Step = Callable[[Rows, Environment], Rows]

_ASSIGNMENT = re.compile(r"""\s*('[^']+'|"[^"]+"|[A-Za-z_][\w.:]*)\s*=(?!=)(.+)\Z""", re.S)
_RENAME = re.compile(r'("[^"]+"|[^\s,"]+)\s+as\s+("[^"]+"|[^\s,"]+)\s*(?:,\s*|\Z|(?=\s))', re.IGNORECASE)
_OPTION = re.compile(r"\s*(\w+)\s*=\s*([^\s,]+)\s*")


def search(arguments: str) -> Step:
    """Compile `search <expression>` on rows."""
    predicate = compile_search(arguments)
    return lambda rows, env: [row for row in rows if predicate(RowScope(row, env.now))]


def where(arguments: str) -> Step:
    """Compile `where`: rows of which the expression is true; null is not."""
    _needed("where", arguments)
    expression = compile_expression(arguments)
    return lambda rows, env: [row for row in rows if expression(RowScope(row, env.now)) is True]


def evaluate(arguments: str) -> Step:
    """Compile `eval a=..., b=...`, each assignment seeing the ones before it. Null removes the field."""
    assignments = [_assignment(part) for part in split_top(arguments, ",")]

    def one(row: Row, now: float) -> Row:
        changed = dict(row)
        for name, expression in assignments:
            value = expression(RowScope(changed, now))
            if isinstance(value, bool):
                raise SplError(f"eval: {name} would be a boolean, which Splunk refuses", "Use if(..., 1, 0).")
            if value is None:
                changed.pop(name, None)
            else:
                changed[name] = value
        return changed

    return lambda rows, env: [one(row, env.now) for row in rows]


def _assignment(part: str) -> tuple[str, Callable[[RowScope], Value]]:
    match = _ASSIGNMENT.match(part)
    if match is None:
        raise SplError(f"eval: {part.strip()[:60]!r} is no field=expression")
    return match.group(1).strip("'\""), compile_expression(match.group(2))


def table(arguments: str) -> Step:
    """Compile `table a b`: the fields named, in that order; wildcards allowed."""
    names = _fields("table", arguments)
    return lambda rows, _env: [_selected(row, names) for row in rows]


def fields(arguments: str) -> Step:
    """Compile `fields a b`, which keeps, and `fields - a b`, which removes. Keeping keeps _time and _raw as well."""
    removing = arguments.lstrip().startswith("-")
    names = _fields("fields", arguments.lstrip().lstrip("+-"))
    if removing:
        return lambda rows, _env: [{k: v for k, v in row.items() if not _named(k, names)} for row in rows]
    return lambda rows, _env: [_selected(row, (*names, "_time", "_raw")) for row in rows]


def rename(arguments: str) -> Step:
    """Compile `rename a as b, c as d`. Raises SplError for wildcards, which are outside the subset."""
    pairs = [(unquote(old), unquote(new)) for old, new in _RENAME.findall(arguments)]
    if not pairs or _RENAME.sub("", arguments).strip(" ,") or "*" in arguments:
        raise SplError(f"rename: {arguments.strip()[:60]!r} is no `a as b`")

    def one(row: Row) -> Row:
        for old, new in pairs:
            if old in row:
                row = {**{k: v for k, v in row.items() if k not in (old, new)}, new: row[old]}
        return row

    return lambda rows, _env: [one(row) for row in rows]


def sort(arguments: str) -> Step:
    """Compile `sort [limit] [-]a [-]b`; 0 is without limit, the default is Splunk's 10,000. Raises SplError."""
    match = re.match(r"\s*(\d+)\s+", arguments)
    limit = int(match.group(1)) if match else 10_000
    keys = re.findall(r"([+-]?)\s*([^\s,+-][^\s,]*)", arguments[match.end() :] if match else arguments)
    if not keys or any("(" in name for _, name in keys):
        raise SplError(f"sort: {arguments.strip()[:60]!r} is outside the subset")

    def ordered(rows: Rows, _env: Environment) -> Rows:
        for sign, name in reversed(keys):
            known = [row for row in rows if row.get(name) is not None]
            known.sort(key=lambda row: sort_key(row.get(name)), reverse=sign == "-")
            rows = [*known, *(row for row in rows if row.get(name) is None)]
        return rows[:limit] if limit else rows

    return ordered


def dedup(arguments: str) -> Step:
    """Compile `dedup a b`: the first row of each combination; rows without one of the fields go. Raises SplError."""
    names = _fields("dedup", arguments)
    if any("=" in name or name[0] in "-+" or name.isdigit() or name == "sortby" for name in names):
        raise SplError(f"dedup: {arguments.strip()[:60]!r} is outside the subset")

    def first(rows: Rows, _env: Environment) -> Rows:
        seen: dict[tuple[str, ...], Row] = {}
        for row in rows:
            if all(row.get(name) is not None for name in names):
                seen.setdefault(tuple(text(row.get(name)) for name in names), row)
        return list(seen.values())

    return first


def fillnull(arguments: str) -> Step:
    """Compile `fillnull value=x a b`: the fields must be named. Raises SplError where none is."""
    options, rest = take_options(arguments, ("value",))
    names = _fields("fillnull", rest)
    value = options.get("value", "0")
    return lambda rows, _env: [{**row, **{n: value for n in names if row.get(n) is None}} for row in rows]


def bin_(arguments: str) -> Step:
    """Compile `bin span=10m _time`: floors a number to a multiple of the span. Raises SplError."""
    options, rest = take_options(arguments, ("span",))
    names = _fields("bin", rest)
    if "span" not in options or len(names) != 1:
        raise SplError(f"bin: {arguments.strip()[:60]!r} is outside the subset; write bin span=10m _time")
    span, name = span_seconds(options["span"]), names[0]

    def one(row: Row) -> Row:
        value = number(row.get(name))
        return row if value is None else {**row, name: value // span * span}

    return lambda rows, _env: [one(row) for row in rows]


def head(arguments: str) -> Step:
    """Compile `head`: the first rows, ten unless said. Raises SplError where the count is none."""
    count = arguments.strip() or "10"
    if not count.isdigit():
        raise SplError(f"head: {count[:40]!r} is outside the subset")
    return lambda rows, _env: rows[: int(count)]


def take_options(arguments: str, known: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Take options ``name=value`` wherever they stand, and the rest. Raises SplError for an unknown option."""
    options: dict[str, str] = {}

    def taken(match: re.Match[str]) -> str:
        if match.group(1) not in known:
            raise SplError(f"option {match.group(1)} is outside the subset")
        options[match.group(1)] = unquote(match.group(2))
        return " "

    return options, _OPTION.sub(taken, arguments)


def _needed(command: str, arguments: str) -> None:
    if not arguments.strip():
        raise SplError(f"{command} needs something after it")


def _fields(command: str, arguments: str) -> tuple[str, ...]:
    _needed(command, arguments)
    return field_list(arguments)


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _selected(row: Row, names: tuple[str, ...]) -> Row:
    found: dict[str, Value] = {}
    for name in names:
        found.update({k: row[k] for k in row if k not in found and fnmatch.fnmatchcase(k, name)})
    return found
