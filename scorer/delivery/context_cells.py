"""Cells of a row's context as they may be written: texts, the window's revision, fields copied from the document."""

from __future__ import annotations

import json

from scorer.rows.columns import MAX_FIELDS_BYTES

#: Characters that an entity or an origin keeps; longer values are cut, so that one field cannot fill an index.
MAX_TEXT = 1024
_LONGEST_LONG = 18  # digits that every long of Elasticsearch holds; a window may count more documents than an integer
_MAX_COPIES = 100  # fields, and values of one
_MAX_FLAGS, _MAX_FLAG = 8, 64
#: Flag of a row whose copied fields could not be read; the score is right, the copies are left out.
FIELDS_DROPPED = "fields_dropped"

Copies = dict[str, str | list[str]]


def clean(text: str) -> str:
    """Leave out control characters and lone surrogates, which no sink's JSON parser has to take."""
    if len(text) > MAX_TEXT or not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])
    return text


def revision_of(text: str) -> int | None:
    """Read a revision: 0 where none is given, None where it is no whole number."""
    if not text:
        return 0
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_LONG else None


def flags_of(text: str) -> str:
    """Read the flags that may be written, comma separated as they come: at most eight, clean and short."""
    flags = [flag for flag in text.split(",") if flag][:_MAX_FLAGS]
    return ",".join(clean(flag[:_MAX_FLAG]) for flag in flags)


def copies_fit(text: str) -> bool:
    """Tell whether a cell of copied fields is as short as it has to be."""
    if len(text) > MAX_FIELDS_BYTES:
        return False
    return text.isascii() or len(text.encode("utf-8", "surrogatepass")) <= MAX_FIELDS_BYTES


def copies_of(text: str) -> Copies | None:
    """Read copied fields as they came; None where they are not what the column holds."""
    if not copies_fit(text):
        return None
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or len(raw) > _MAX_COPIES:
        return None
    found: Copies = {}
    for name, value in raw.items():
        if isinstance(value, str):
            found[name] = clean(value)
        elif isinstance(value, list) and len(value) <= _MAX_COPIES and all(isinstance(one, str) for one in value):
            found[name] = [clean(one) for one in value]
        else:
            return None
    return found
