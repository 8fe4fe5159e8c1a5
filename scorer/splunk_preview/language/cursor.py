"""Tokens of an expression and a place among them: what both of SPL's expression languages are read with."""

from __future__ import annotations

import re

from scorer.splunk_preview.errors import SplError


class Cursor:
    """A walk over the tokens of ``source``. ``pattern``: one token, in a named group for each kind; ``where``: what the
    text is, for the message of the SplError that an unreadable one raises. After the last token the kind is ``end``."""

    def __init__(self, source: str, pattern: re.Pattern[str], where: str) -> None:
        self._source = source
        self._tokens = _tokens(source, pattern, where)
        self._at = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def token(self) -> str:
        return self._tokens[self._at][1]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]


def _tokens(source: str, pattern: re.Pattern[str], where: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, end = 0, len(source.rstrip())
    while at < end:
        match = pattern.match(source, at)
        if match is None or match.lastgroup is None:
            raise SplError(f"cannot read {source[at : at + 30].strip()!r} in {where}")
        found.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return [*found, ("end", "the end")]
