"""SPL as text: comments, macros, and splitting at the top level, outside of quotes and brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from scorer.splunk_preview.conf import Conf
from scorer.splunk_preview.errors import SplError

MAX_DEPTH = 20
_CLOSING = {"(": ")", "[": "]"}
_COMMENT = re.compile(r"```.*?```", re.S)
_CALL = re.compile(r"\s*([\w.-]+)\s*(?:\((.*)\))?\s*\Z", re.S)


def skip_quoted(text: str, at: int) -> int:
    """Find the position after the quoted text that opens at ``at``; a backslash guards the next character.

    Raises SplError where the text never closes.
    """
    quote, i = text[at], at + 1
    while i < len(text):
        if text[i] == "\\" and quote == '"':
            i += 2
        elif text[i] == quote:
            return i + 1
        else:
            i += 1
    raise SplError(f"a quote is never closed: {text[at : at + 40]}")


def _top_level(text: str) -> Iterator[tuple[int, str]]:
    """(position, character) of what lies outside of double quotes and brackets; raises for unbalanced brackets."""
    stack: list[str] = []
    i = 0
    while i < len(text):
        char = text[i]
        if char == '"':
            i = skip_quoted(text, i)
            continue
        if char in _CLOSING:
            stack.append(_CLOSING[char])
        elif char in ")]":
            if not stack or stack.pop() != char:
                raise SplError(f"{char} closes nothing: {text[max(0, i - 40) : i + 1]}")
        elif not stack:
            yield i, char
        i += 1
    if stack:
        raise SplError(f"{stack[-1]} is missing: {text[:60]}")


def split_top(text: str, separator: str) -> list[str]:
    """Cut ``text`` at every top-level ``separator`` (one character)."""
    cuts = [i for i, char in _top_level(text) if char == separator]
    starts = [0, *(cut + 1 for cut in cuts)]
    return [text[start:end] for start, end in zip(starts, [*cuts, len(text)], strict=True)]


def closing(text: str, at: int) -> int:
    """Find the bracket that closes the one at ``at``. Raises SplError where none does."""
    depth, i = 0, at
    while i < len(text):
        if text[i] == '"':
            i = skip_quoted(text, i)
            continue
        if text[i] in _CLOSING:
            depth += 1
        elif text[i] in ")]":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    raise SplError(f"{_CLOSING[text[at]]} is missing: {text[at : at + 60]}")


def unquote(text: str) -> str:
    """Take off double quotes; a backslash before a quote or a backslash goes."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    return text


def expand(text: str, macros: Conf, depth: int = 0) -> str:
    """Write ``text`` without comments and with every macro replaced by its definition.

    Raises SplError for a macro that is not defined with that many arguments, for recursion and unbalanced backticks.
    """
    if depth > MAX_DEPTH:
        raise SplError(f"macros call each other in a circle: {text[:60]}")
    pieces = _COMMENT.sub(" ", text).split("`")
    if len(pieces) % 2 == 0:
        raise SplError(f"a backtick is never closed: {pieces[-1][:60]}")
    for i in range(1, len(pieces), 2):
        pieces[i] = expand(_definition(pieces[i], macros), macros, depth + 1)
    return "".join(pieces)


def _definition(call: str, macros: Conf) -> str:
    match = _CALL.match(call)
    if match is None:
        raise SplError(f"`{call[:60]}` is no call of a macro")
    name, inside = match.group(1), match.group(2)
    values = [] if inside is None or not inside.strip() else [unquote(v.strip()) for v in split_top(inside, ",")]
    stanza = f"{name}({len(values)})" if values else name
    if stanza not in macros:
        raise SplError(f"there is no macro {stanza}", f"Known are {', '.join(sorted(macros)) or 'none'}.")
    return _fill(stanza, macros[stanza], values)


def _fill(stanza: str, macro: Mapping[str, str], values: list[str]) -> str:
    names = [name.strip() for name in macro.get("args", "").split(",") if name.strip()]
    if len(names) != len(values):
        raise SplError(f"macro {stanza} declares {len(names)} arguments")
    if macro.get("iseval", "0").strip().lower() not in ("0", "false"):
        raise SplError(f"macro {stanza} is an eval macro, which is outside the subset")
    body = macro.get("definition", "")
    for name, value in zip(names, values, strict=True):
        body = body.replace(f"${name}$", value)
    return body
