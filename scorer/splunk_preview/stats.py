"""Commands that aggregate: stats, eventstats, and tstats over indexed fields alone."""

from __future__ import annotations

import re

from scorer.splunk_preview.commands import Step
from scorer.splunk_preview.environment import Environment, Rows
from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.aggregate import Grouping, grouped, parse_grouping, split_by
from scorer.splunk_preview.language.searching import compile_search
from scorer.splunk_preview.language.values import Row, RowScope, text

_WHERE = re.compile(r"\swhere\s", re.IGNORECASE)


def stats(arguments: str) -> Step:
    """Compile `stats`: one row for each group, in the order of the groups' values; without `by` one row for all."""
    grouping = parse_grouping("stats", arguments)
    return lambda rows, env: _grouped_rows(grouping, rows, env.now)


def eventstats(arguments: str) -> Step:
    """Compile `eventstats`: its group's aggregates on every row; rows with a null group stay as they are."""
    grouping = parse_grouping("eventstats", arguments)

    def added(rows: Rows, env: Environment) -> Rows:
        found = {
            tuple(text(value) for value in values): grouping.results(members, env.now)
            for values, members in grouped(rows, grouping.by)
        }
        return [{**row, **found.get(tuple(text(row.get(name)) for name in grouping.by), {})} for row in rows]

    return added


def tstats(arguments: str) -> Step:
    """Compile `tstats <aggregations> where <search> [by fields]` over what is indexed.

    Raises SplError, also for data models, which are outside the subset.
    """
    where = _WHERE.search(arguments)
    if where is None or re.search(r"\bfrom\s+datamodel\b", arguments, re.IGNORECASE):
        raise SplError("tstats: only `<aggregations> where <search> by <fields>` is in the subset")
    condition, by = split_by(arguments[where.end() :])
    by_clause = "" if by is None else f" by {by}"
    if re.search(r"\bspan\s*=", by_clause):
        raise SplError("tstats: span is outside the subset")
    grouping = parse_grouping("tstats", arguments[: where.start()] + by_clause)
    predicate = compile_search(condition)

    def found(_rows: Rows, env: Environment) -> Rows:
        return _grouped_rows(grouping, [row for row in env.indexed if predicate(RowScope(row, env.now))], env.now)

    return found


def _grouped_rows(grouping: Grouping, rows: Rows, now: float) -> Rows:
    if not grouping.by:
        return [grouping.results(rows, now)]
    return [_group_row(grouping, values, members, now) for values, members in grouped(rows, grouping.by)]


def _group_row(grouping: Grouping, values: tuple[str | int | float, ...], members: list[Row], now: float) -> Row:
    return {**dict(zip(grouping.by, values, strict=True)), **grouping.results(members, now)}
