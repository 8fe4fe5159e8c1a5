"""Search expressions: what stands after `search`, first in a search, and in tstats' `where`.

Precedence as Splunk documents it: parentheses, NOT, OR, AND (written or implied). Comparisons ignore case; ``*`` is a
wildcard; ``field!=value`` needs the field, ``NOT field=value`` does not. ``earliest``, ``latest`` (event time) and
``_index_earliest``, ``_index_latest`` (index time) bound what is found: from inclusive, to exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.cursor import Cursor
from scorer.splunk_preview.language.text import unquote
from scorer.splunk_preview.language.times import epoch
from scorer.splunk_preview.language.values import RowScope, compare, number, several, text

Predicate = Callable[[RowScope], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:\\.|[^"\\])*")
      | (?P<bracket>[()])
      | (?P<comma>,)
      | (?P<operator>!=|<=|>=|==|=|<|>)
      | (?P<word>[^\s()",=<>!]+)
    )""",
    re.X,
)
_BOUNDS = {
    "earliest": ("_time", ">="),
    "latest": ("_time", "<"),
    "_index_earliest": ("_indextime", ">="),
    "_index_latest": ("_indextime", "<"),
}


def compile_search(source: str) -> Predicate:
    """Compile the predicate in ``source``; nothing at all is true of every event. Raises SplError."""
    parser = _SearchParser(source)
    if parser.kind == "end":
        return lambda _scope: True
    predicate = parser.all_of()
    if parser.kind != "end":
        raise SplError(f"{parser.token!r} cannot stand there: {source.strip()[:80]}")
    return predicate


class _SearchParser(Cursor):
    """Recursive descent over the tokens of one search."""

    def __init__(self, source: str) -> None:
        super().__init__(source, _TOKEN, "a search")

    def _word(self, *words: str) -> bool:
        return self.kind == "word" and self.token in words  # Splunk wants these in capitals

    def _bracket(self, bracket: str) -> bool:
        return (self.kind, self.token) == ("bracket", bracket)

    def all_of(self) -> Predicate:
        parts = [self._any_of()]
        while self.kind != "end" and not self._bracket(")"):
            if self._word("AND"):
                self._at += 1
            parts.append(self._any_of())
        return parts[0] if len(parts) == 1 else lambda scope: all(part(scope) for part in parts)

    def _any_of(self) -> Predicate:
        parts = [self._negation()]
        while self._word("OR"):
            self._at += 1
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda scope: any(part(scope) for part in parts)

    def _negation(self) -> Predicate:
        if self._word("NOT"):
            self._at += 1
            inner = self._negation()
            return lambda scope: not inner(scope)
        if self._bracket("("):
            return self._group()
        return self._term()

    def _group(self) -> Predicate:
        self._at += 1
        if self._bracket(")"):  # NOT ( ) is how a subsearch without results finds nothing
            self._at += 1
            return lambda _scope: True
        inner = self.all_of()
        if not self._bracket(")"):
            raise SplError(f"a parenthesis is never closed: {self._source.strip()[:80]}")
        self._at += 1
        return inner

    def _value(self) -> str:
        if self.kind not in ("word", "string"):
            raise SplError(f"{self.token!r} cannot stand there: {self._source.strip()[:80]}")
        return unquote(self._next())

    def _term(self) -> Predicate:
        if self._word("AND", "OR"):
            raise SplError(f"{self.token} has nothing to its left: {self._source.strip()[:80]}")
        name = self._value()
        if self.kind == "operator":
            return comparison(name, self._next(), self._value())
        if self._word("IN"):
            self._at += 1
            return self._in_list(name)
        pattern = _glob(f"*{name}*")
        return lambda scope: pattern.match(text(scope.row.get("_raw"))) is not None

    def _in_list(self, name: str) -> Predicate:
        if not self._bracket("("):
            raise SplError(f"{name} IN needs a list in parentheses")
        self._at += 1
        options = [comparison(name, "=", self._value())]
        while self.kind == "comma":
            self._at += 1
            options.append(comparison(name, "=", self._value()))
        if not self._bracket(")"):
            raise SplError(f"the list of {name} IN ( is never closed")
        self._at += 1
        return lambda scope: any(option(scope) for option in options)


def comparison(name: str, operator: str, value: str) -> Predicate:
    """Compile ``name operator value`` to a predicate. Raises SplError."""
    if name in _BOUNDS and operator == "=":
        return _bound(*_BOUNDS[name], value)
    if operator in ("=", "==", "!="):
        wanted = operator != "!="
        return lambda scope: any(_equal(found, value) == wanted for found in several(scope.row.get(name)))
    if number(value) is None:
        raise SplError(f"{name}{operator}{value}: the value is no number")
    return lambda scope: compare(scope.row.get(name), operator, value) is True


def _bound(field: str, operator: str, value: str) -> Predicate:
    epoch(value, 0.0)  # wrong modifiers are errors when the search is read, not when it runs
    return lambda scope: compare(scope.row.get(field), operator, epoch(value, scope.now)) is True


def _equal(found: str | int | float, value: str) -> bool:
    a, b = number(found), number(value)
    return a == b if a is not None and b is not None else _glob(value).match(text(found)) is not None


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")) + r"\Z", re.IGNORECASE | re.DOTALL)
