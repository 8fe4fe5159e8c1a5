"""The identity of a row and of its score, so that no score is written twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from scorer.rows.columns import KEY_COLUMNS, TIME_COLUMN


def score_id(model: str, version: str, identity: Sequence[str], revision: int = 0) -> str:
    """``qscore_id``: SHA-256 over model, version, origin id or entities and window start, and revision.

    Parts are length-prefixed, so that no two lists of parts share a digest by concatenation. Never the search id: a
    search that runs twice writes nothing twice.
    """
    digest = hashlib.sha256()
    for part in (model, version, *identity, str(revision)):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.hexdigest()


def canonical_time(text: str) -> str | None:
    """Epoch seconds as they enter an id: milliseconds, always three decimals. None where the text is no usable time."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return f"{seconds:.3f}" if 0 < seconds < 1e11 else None


def row_identity(context: Mapping[str, Sequence[str]], row: int) -> tuple[str, ...] | None:
    """What makes a row itself: its origin's id and index where there is one, else entities and window start.

    None where the row has neither, so that it cannot be written without risking duplicates.
    """

    def at(name: str) -> str:
        column = context.get(name)
        return column[row] if column is not None else ""

    if at("origin_id"):
        return ("origin", at("index"), at("origin_id"))
    entities = tuple(at(name) for name in KEY_COLUMNS)
    start = canonical_time(at(TIME_COLUMN))
    if start is not None and any(entities):
        return ("window", start, *entities)
    return None
