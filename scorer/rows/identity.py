"""The identity of a row and of its score, so that no score is written twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from scorer.rows.columns import KEY_COLUMNS, TIME_COLUMN

Context = Mapping[str, Sequence[str]]

_ORIGIN, _WINDOW = "origin", "window"
#: What no writer's namespace is: the words that stand in its place in the ids of 0.1.0. So no id of now is one of then.
RESERVED_NAMESPACES = frozenset((_ORIGIN, _WINDOW))


@dataclass(frozen=True)
class Writer:
    """Who writes a score; it enters the score's id, so that nobody makes the id of another's score.

    ``namespace``: that of the API key; of a connector, which has none, one that no key can have. ``source``: which of
    the writer's sources of rows, empty where it has one. Raises ValueError for a namespace that no writer may have.
    """

    namespace: str
    source: str = ""

    def __post_init__(self) -> None:
        if not self.namespace or self.namespace in RESERVED_NAMESPACES:
            raise ValueError(f"{self.namespace!r} cannot be the namespace of a writer")

    @classmethod
    def connector(cls, namespace: str, source: str) -> Writer:
        """Name the connector's source that writes into the data stream of ``namespace``; keys hold no colon."""
        return cls(f"elastic:{namespace}", source)


class BatchIds(NamedTuple):
    """The ids of N rows; each is None where its row has no identity or no revision.

    ``first``: those of revision 0, which all counts of one window share; None where no row has a revision above 0, and
    so has its own id for that. ``old``: those that 0.1.0 made, which knew no writers; None where they were not asked
    for.
    """

    ids: list[str | None]
    first: list[str | None] | None
    old: list[str | None] | None


def score_id(model: str, version: str, identity: Sequence[str], revision: int = 0, writer: Writer | None = None) -> str:
    """Make ``qscore_id``: SHA-256 over model, version, writer, origin id or entities and window start, and revision.

    Parts are length-prefixed, so that no two lists of parts share a digest by concatenation. Never the search id: a
    search that runs twice writes nothing twice. Without a writer it is the id of 0.1.0.
    """
    parts = _head(model, version, writer) + "".join(map(_part, (*identity, str(revision))))
    return sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def score_ids(
    model: str, version: str, context: Context, revisions: Sequence[int | None], writer: Writer | None = None
) -> list[str | None]:
    """Make `score_id` of every row of ``context``, in order; there are as many rows as ``revisions``.

    None where a row has no identity (see `row_identity`) or no revision. Raises ValueError where a column of
    ``context`` has another length.
    """
    return _ids(_head(model, version, writer), _bodies(context, len(revisions)), revisions)


def batch_ids(
    model: str,
    version: str,
    context: Context,
    revisions: Sequence[int | None],
    writer: Writer | None = None,
    old: bool = False,
) -> BatchIds:
    """Make `score_ids` and what goes with them; ``old`` asks for the ids of 0.1.0 too. Raises what `score_ids` does."""
    bodies, head = _bodies(context, len(revisions)), _head(model, version, writer)
    first = _ids(head, bodies, [0] * len(revisions)) if any(revisions) else None
    before = _ids(_head(model, version, None), bodies, revisions) if old else None
    return BatchIds(_ids(head, bodies, revisions), first, before)


def _head(model: str, version: str, writer: Writer | None) -> str:
    """Write the parts that all rows of a batch share."""
    parts = (model, version) if writer is None else (model, version, writer.namespace, writer.source)
    return "".join(map(_part, parts))


def _ids(head: str, bodies: Sequence[str], revisions: Sequence[int | None]) -> list[str | None]:
    tails = {revision: "" if revision is None else _part(str(revision)) for revision in set(revisions)}
    return [
        sha256(f"{head}{body}{tail}".encode("utf-8", "surrogatepass")).hexdigest()
        if body and (tail := tails[revision])
        else None
        for body, revision in zip(bodies, revisions, strict=True)
    ]


def canonical_time(text: str) -> str | None:
    """Write epoch seconds as they enter an id: milliseconds, always three decimals. None where it is no usable time."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return f"{seconds:.3f}" if 0 < seconds < 1e11 else None


def origin_identity(index: str, origin_id: str) -> tuple[str, ...]:
    """Say what makes the row of one event or document itself, whose id is unique in its index."""
    return (_ORIGIN, index, origin_id)


def row_identity(context: Context, row: int) -> tuple[str, ...] | None:
    """Say what makes a row itself: its origin's id and index where there is one, else entities and window start.

    None where the row has neither, so that it cannot be written without risking duplicates.
    """

    def at(name: str) -> str:
        column = context.get(name)
        return column[row] if column is not None else ""

    if at("origin_id"):
        return origin_identity(at("index"), at("origin_id"))
    entities = tuple(at(name) for name in KEY_COLUMNS)
    start = canonical_time(at(TIME_COLUMN))
    if start is not None and any(entities):
        return (_WINDOW, start, *entities)
    return None


def _part(text: str) -> str:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return f"{size}:{text}"


class _Parts(dict[str, str]):
    """Texts as parts, each made once: rows share most of their cells."""

    def __missing__(self, text: str) -> str:
        made = self[text] = _part(text)
        return made


def _bodies(context: Context, rows: int) -> list[str]:
    """Write each row's identity as parts, one after the other; empty where it has none."""
    nothing = [""] * rows
    origins = context.get("origin_id", nothing)
    if not any(origins):
        return _windows(context, rows)
    indices = map(_Parts().__getitem__, context.get("index", nothing))
    plain = "".join(origins).isascii()  # then a part's size is its length
    windows = nothing if all(origins) else _windows(context, rows)
    of_origin = _part(_ORIGIN)
    return [
        (f"{of_origin}{index}{len(origin)}:{origin}" if plain else f"{of_origin}{index}{_part(origin)}")
        if origin
        else window
        for origin, index, window in zip(origins, indices, windows, strict=True)
    ]


def _windows(context: Context, rows: int) -> list[str]:
    """Write each row's window start and entities as parts; empty where it lacks the one or all of the other."""
    nothing = [""] * rows
    part = _Parts().__getitem__
    times = context.get(TIME_COLUMN, nothing)
    starts = {text: canonical_time(text) for text in set(times)}
    heads = {text: "" if start is None else _part(_WINDOW) + _part(start) for text, start in starts.items()}
    columns = (map(part, context.get(name, nothing)) for name in KEY_COLUMNS)
    entities = map("".join, zip(*columns, strict=True))
    nobody = _part("") * len(KEY_COLUMNS)
    return [
        head + who if (head := heads[time]) and who != nobody else "" for time, who in zip(times, entities, strict=True)
    ]
