"""Searches: macros expanded, every command compiled before any of it runs, then rows through the pipeline.

A subset of SPL, the one that this product's own macros and searches use. It is not Splunk, and nothing run here was
run on Splunk. What is outside the subset raises SplError when the search is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from scorer.splunk_preview import commands, stats
from scorer.splunk_preview.commands import Step
from scorer.splunk_preview.environment import Environment, Hook, Rows
from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.searching import compile_search
from scorer.splunk_preview.language.text import closing, expand, skip_quoted, split_top
from scorer.splunk_preview.language.values import Row, RowScope, text

COMMANDS: dict[str, Callable[[str], Step]] = {
    "where": commands.where,
    "eval": commands.evaluate,
    "stats": stats.stats,
    "eventstats": stats.eventstats,
    "table": commands.table,
    "fields": commands.fields,
    "rename": commands.rename,
    "sort": commands.sort,
    "dedup": commands.dedup,
    "fillnull": commands.fillnull,
    "bin": commands.bin_,
    "head": commands.head,
}
_COMMAND = re.compile(r"\s*([A-Za-z_]\w*)(.*)\Z", re.S)


def run(source: str, environment: Environment) -> Rows:
    """Run ``source`` and list its results. Raises SplError for what is wrong or outside the subset, before any step."""
    rows: Rows = environment.events
    for step in compile_pipeline(source, environment):
        rows = step(rows, environment)
    return rows


def compile_pipeline(source: str, environment: Environment) -> list[Step]:
    """Compile the steps of a search; macros and hooks are the environment's. Raises SplError."""
    try:
        return _pipeline(expand(source, environment.macros), environment.hooks)
    except RecursionError:
        raise SplError("the search nests too deeply") from None


def _pipeline(source: str, hooks: Mapping[str, Hook]) -> list[Step]:
    parts = split_top(source, "|")
    first, rest = parts[0], parts[1:]
    if first.strip():
        steps = [_search(re.sub(r"\A\s*search\s", "", first), hooks)]
    elif rest:
        steps, rest = [_generating(rest[0])], rest[1:]
    else:
        raise SplError("the search is empty")
    return steps + [_step(part, hooks) for part in rest]


def _generating(source: str) -> Step:
    name, arguments = _split(source)
    if name != "tstats":
        raise SplError(f"{name} cannot stand first in a search, or is outside the subset")
    return stats.tstats(arguments)


def _step(source: str, hooks: Mapping[str, Hook]) -> Step:
    name, arguments = _split(source)
    if name == "search":
        return _search(arguments, hooks)
    if name == "tstats":
        raise SplError("tstats must stand first in a search")
    if name in hooks:
        hook = hooks[name]
        return lambda rows, _env: hook(arguments.strip(), rows)
    if name not in COMMANDS:
        raise SplError(f"{name} is no command of the subset", f"Known are {', '.join(sorted(COMMANDS))}.")
    return COMMANDS[name](arguments)


def _split(source: str) -> tuple[str, str]:
    match = _COMMAND.match(source)
    if match is None:
        raise SplError(f"no command stands between two pipes: {source.strip()[:60]!r}")
    return match.group(1), match.group(2)


def _search(source: str, hooks: Mapping[str, Hook]) -> Step:
    """A search expression, whose subsearches run first and become part of it."""
    pieces = _subsearches(source)
    if len(pieces) == 1:
        return commands.search(source)
    inner = [_pipeline(piece, hooks) for piece in pieces[1::2]]
    compile_search("( )".join(pieces[0::2]))  # what surrounds the subsearches is checked before any of them runs

    def found(rows: Rows, env: Environment) -> Rows:
        whole = [pieces[0]]
        for steps, after in zip(inner, pieces[2::2], strict=True):
            results: Rows = env.events
            for step in steps:
                results = step(results, env)
            whole += [format_results(results), after]
        predicate = compile_search("".join(whole))
        return [row for row in rows if predicate(RowScope(row, env.now))]

    return found


def _subsearches(source: str) -> list[str]:
    """Text and subsearches in turn; the text comes first."""
    pieces, start, at = [], 0, 0
    while at < len(source):
        if source[at] == '"':
            at = skip_quoted(source, at)
            continue
        if source[at] == "[":
            end = closing(source, at)
            pieces += [source[start:at], source[at + 1 : end]]
            at = start = end + 1
            continue
        at += 1
    return [*pieces, source[start:]]


def format_results(rows: Rows) -> str:
    """Write what a subsearch becomes: ``(( a="1" AND b="2" ) OR ( ... ))``, or ``NOT ( )`` without results."""
    terms = [term for row in rows if (term := _term(row))]
    return f" ( {' OR '.join(terms)} ) " if terms else " NOT ( ) "


def _term(row: Row) -> str:
    pairs = [(name, text(value)) for name, value in row.items() if not name.startswith("_")]
    quoted = [
        f'{name}="{value}"' for name, value in ((n, v.replace("\\", "\\\\").replace('"', '\\"')) for n, v in pairs)
    ]
    return f"( {' AND '.join(quoted)} )" if quoted else ""
