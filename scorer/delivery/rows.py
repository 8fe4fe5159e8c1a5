"""From scored batches to rows that any sink can shape: sink-neutral, msgpack-able, one per written score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from scorer.wire.errors import MalformedBody
from scorer.wire.messages import FeatureBatch, ModelCard, ScoreBatch, canonical_time, row_identity, score_id
from scorer.wire.names import BANDS, ENTITY_COLUMNS, ORIGIN_COLUMNS, STATUS_OK, TIME_COLUMN

#: Characters that an entity or an origin keeps; longer values are cut, so that one field cannot fill an index.
MAX_TEXT = 1024


class ScoredRow(TypedDict):
    """One score as it is handed to a sink. ``time`` is epoch seconds; probabilities are 0-1, ``risk`` is 0-100."""

    id: str  # qscore_id
    time: float
    batch_id: str
    model: str
    version: str
    title: str
    starter: bool
    serve: str
    grain: str
    mitre: list[str]
    entities: dict[str, str]  # user, src, dest, host, port_class; only those that are known
    origin: dict[str, str]  # origin_id, index, sourcetype; only those that are known
    probability: float
    risk: int
    band: str
    alert: bool
    pvalue: float
    classical: float
    reason: str  # empty where none was asked for


class ScoredRows(NamedTuple):
    """``rows`` to write, and the positions of scored rows that have no usable time or no identity."""

    rows: list[ScoredRow]
    skipped: tuple[int, ...]


def scored_rows(batch: FeatureBatch, scores: ScoreBatch, card: ModelCard) -> ScoredRows:
    """Rows of ``batch`` whose status is ok, in order.

    A row without time or identity is left out and named in ``skipped``: written, it could not be told from its own
    repetition. Raises ValueError when the two batches differ in length.
    """
    if len(batch) != len(scores):
        raise ValueError(f"{len(batch)} rows but {len(scores)} scores")
    shared = _shared(batch.batch_id, scores, card)
    rows: list[ScoredRow] = []
    skipped: list[int] = []
    for position, status in enumerate(scores.status):
        if status != STATUS_OK:
            continue
        row = _row(batch.context, scores, shared, position)
        if row is None:
            skipped.append(position)
        else:
            rows.append(row)
    return ScoredRows(rows, tuple(skipped))


class _Shared(TypedDict):
    """What all rows of one batch have in common."""

    batch_id: str
    model: str
    version: str
    title: str
    starter: bool
    serve: str
    grain: str
    mitre: list[str]


def _shared(batch_id: str, scores: ScoreBatch, card: ModelCard) -> _Shared:
    return _Shared(
        batch_id=batch_id,
        model=scores.model,
        version=scores.version,
        title=card.title,
        starter=card.starter,
        serve=scores.serve,
        grain=card.grain,
        mitre=[str(technique) for technique in card.details.get("mitre", ())],
    )


def _row(context: Mapping[str, Sequence[str]], scores: ScoreBatch, shared: _Shared, at: int) -> ScoredRow | None:
    identity = row_identity(context, at)
    time = canonical_time(_cell(context, TIME_COLUMN, at))
    if identity is None or time is None:
        return None
    return ScoredRow(
        **shared,
        id=score_id(scores.model, scores.version, identity),
        time=float(time),
        entities=_known(context, ENTITY_COLUMNS, at),
        origin=_known(context, ORIGIN_COLUMNS, at),
        probability=float(scores.probability[at]),
        risk=int(scores.risk[at]),
        band=BANDS[int(scores.band[at])],
        alert=bool(scores.alert[at]),
        pvalue=float(scores.pvalue[at]),
        classical=float(scores.classical[at]),
        reason=str(scores.reason[at]),
    )


def _cell(context: Mapping[str, Sequence[str]], name: str, at: int) -> str:
    column = context.get(name)
    return "" if column is None else str(column[at])


def _known(context: Mapping[str, Sequence[str]], names: Sequence[str], at: int) -> dict[str, str]:
    cells = ((name, _cell(context, name, at)) for name in names)
    return {name: _clean(text) for name, text in cells if text}


def _clean(text: str) -> str:
    """Without control characters and lone surrogates, which no sink's JSON parser has to take."""
    if len(text) > MAX_TEXT or not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])
    return text


_REQUIRED: Mapping[str, type | tuple[type, ...]] = {
    "id": str, "time": (int, float), "batch_id": str, "model": str, "version": str, "title": str, "starter": bool,
    "serve": str, "grain": str, "mitre": list, "entities": dict, "origin": dict, "probability": (int, float),
    "risk": int, "band": str, "alert": bool, "pvalue": (int, float), "classical": (int, float),
    "reason": str,
}  # fmt: skip


def check_rows(raw: Any) -> list[ScoredRow]:
    """Rows as they come from a queue or a store; raises MalformedBody naming the row and the part that is wrong."""
    if not isinstance(raw, list):
        raise MalformedBody(f"scored rows came as {type(raw).__name__}", "Send a list of rows.")
    return [_checked(row, number) for number, row in enumerate(raw)]


def _checked(row: Any, number: int) -> ScoredRow:
    if not isinstance(row, dict):
        raise MalformedBody(f"scored row {number} is {type(row).__name__}", "Send objects.")
    for name, kind in _REQUIRED.items():
        if not isinstance(row.get(name), kind):
            raise MalformedBody(f"{name} of scored row {number} is {type(row.get(name)).__name__}")
    for name in ("time", "probability"):
        if not math.isfinite(row[name]):
            raise MalformedBody(f"{name} of scored row {number} is {row[name]}")
    texts = [*row["mitre"], *row["entities"].values(), *row["origin"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise MalformedBody(f"scored row {number} holds a context value that is not text")
    return row  # type: ignore[return-value]  # every part of the TypedDict was checked above
