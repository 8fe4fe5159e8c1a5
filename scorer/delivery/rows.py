"""From scored batches to rows that any sink can shape: sink-neutral, msgpack-able, one per written score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, TypedDict

from scorer.delivery.context_cells import Copies, clean, copies_of, revision_of
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.columns import (
    BANDS,
    ENTITY_COLUMNS,
    FIELDS_COLUMN,
    FLAGS_COLUMN,
    ORIGIN_COLUMNS,
    REVISION_COLUMN,
    TIME_COLUMN,
)
from scorer.rows.identity import canonical_time, row_identity, score_id
from scorer.wire.card import ModelCard
from scorer.wire.errors import MalformedBody
from scorer.wire.names import STATUS_OK

#: Flag of a row whose copied fields could not be read; the score is right, the copies are left out.
FIELDS_DROPPED = "fields_dropped"
_MAX_FLAGS = 8


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
    # What only documents carry; absent from rows that were stored before there were any.
    error: NotRequired[str]  # the row's status, of a row that could not be scored: its numbers mean nothing
    revision: NotRequired[int]  # which count of its window the row is; part of the id
    row_id: NotRequired[str]  # the id of revision 0, which all counts of one window share; absent: the id itself
    fields: NotRequired[Copies]  # copied from the scored document, by dotted ECS names
    flags: NotRequired[list[str]]
    threshold: NotRequired[float]  # probability at the line
    sha256: NotRequired[str]  # of the model's manifest
    family: NotRequired[str]
    span: NotRequired[float]  # seconds of the window; 0: the row is an event
    scored: NotRequired[float]  # epoch seconds
    latency_ms: NotRequired[int]  # from its batch's submission to scoring


@dataclass(frozen=True)
class ScoringFacts:
    """What a batch's rows say of how they were scored, beside the card. ``scored``, ``submitted``: epoch seconds.

    ``errors``: rows that could not be scored are wanted too, each with its status in ``error``.
    """

    errors: bool = False
    threshold: float | None = None  # the caller's own line, if any
    sha256: str = ""
    scored: float = 0.0
    submitted: float = 0.0


class ScoredRows(NamedTuple):
    """``rows`` to write, and the positions of scored rows that have no usable time or no identity."""

    rows: list[ScoredRow]
    skipped: tuple[int, ...]


def scored_rows(
    batch: FeatureBatch, scores: ScoreBatch, card: ModelCard, facts: ScoringFacts | None = None
) -> ScoredRows:
    """Rows of ``batch`` whose status is ok, in order; with ``facts.errors`` those of any status.

    A row without time or identity is left out and named in ``skipped``: written, it could not be told from its own
    repetition. Raises ValueError when the two batches differ in length.
    """
    if len(batch) != len(scores):
        raise ValueError(f"{len(batch)} rows but {len(scores)} scores")
    facts = facts or ScoringFacts()
    shared = _shared(batch.batch_id, scores, card, facts)
    rows: list[ScoredRow] = []
    skipped: list[int] = []
    for position, status in enumerate(scores.status):
        if status == STATUS_OK:
            row = _row(batch.context, scores, shared, position)
        elif facts.errors:
            row = _error_row(batch.context, scores, shared, position, facts.scored)
        else:
            continue
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
    threshold: NotRequired[float]
    sha256: NotRequired[str]
    family: NotRequired[str]
    span: NotRequired[float]
    scored: NotRequired[float]
    latency_ms: NotRequired[int]


def _shared(batch_id: str, scores: ScoreBatch, card: ModelCard, facts: ScoringFacts) -> _Shared:
    shared = _Shared(
        batch_id=batch_id,
        model=scores.model,
        version=scores.version,
        title=card.title,
        starter=card.starter,
        serve=scores.serve,
        grain=card.grain,
        mitre=list(card.mitre),
    )
    if facts.scored:
        shared["threshold"] = card.threshold if facts.threshold is None else facts.threshold
        shared["sha256"], shared["family"], shared["scored"] = facts.sha256, card.family, facts.scored
        shared["span"] = card.span or 0.0
        if facts.submitted:  # clocks of two machines: never before it was submitted
            shared["latency_ms"] = max(0, round(1000 * (facts.scored - facts.submitted)))
    return shared


class _Numbers(TypedDict):
    """What scoring says of one row."""

    probability: float
    risk: int
    band: str
    alert: bool
    pvalue: float
    classical: float
    reason: str


_NO_NUMBERS = _Numbers(probability=0.0, risk=0, band=BANDS[0], alert=False, pvalue=1.0, classical=0.0, reason="")


def _row(context: Mapping[str, Sequence[str]], scores: ScoreBatch, shared: _Shared, at: int) -> ScoredRow | None:
    time = canonical_time(_cell(context, TIME_COLUMN, at))
    if time is None:
        return None
    numbers = _Numbers(
        probability=float(scores.probability[at]),
        risk=int(scores.risk[at]),
        band=BANDS[int(scores.band[at])],
        alert=bool(scores.alert[at]),
        pvalue=float(scores.pvalue[at]),
        classical=float(scores.classical[at]),
        reason=str(scores.reason[at]),
    )
    return _made(context, shared, at, float(time), numbers)


def _error_row(
    context: Mapping[str, Sequence[str]], scores: ScoreBatch, shared: _Shared, at: int, now: float
) -> ScoredRow | None:
    """A row that could not be scored, under the id that its score would have: written once as well.

    Its time is ``now`` where it has none of its own; an event without a time is one that somebody has to look at.
    """
    time = float(canonical_time(_cell(context, TIME_COLUMN, at)) or now)
    row = _made(context, shared, at, time, _NO_NUMBERS)
    if row is not None:
        row["error"] = scores.status[at]
    return row


def _made(
    context: Mapping[str, Sequence[str]], shared: _Shared, at: int, time: float, numbers: _Numbers
) -> ScoredRow | None:
    """None where the row has no identity."""
    identity = row_identity(context, at)
    revision = revision_of(_cell(context, REVISION_COLUMN, at))
    if identity is None or revision is None:
        return None
    row = ScoredRow(
        **shared,
        **numbers,  # type: ignore[typeddict-item]  # mypy wants absent optional parts to be said absent
        id=score_id(shared["model"], shared["version"], identity, revision),
        time=time,
        entities=_known(context, ENTITY_COLUMNS, at),
        origin=_known(context, ORIGIN_COLUMNS, at),
    )
    if revision:
        row["row_id"] = score_id(shared["model"], shared["version"], identity)
    _add_edge(row, context, revision, at)
    return row


def _add_edge(row: ScoredRow, context: Mapping[str, Sequence[str]], revision: int, at: int) -> None:
    """What the connector sent along; nothing of it on rows of a search."""
    flags = [flag for flag in _cell(context, FLAGS_COLUMN, at).split(",") if flag][:_MAX_FLAGS]
    text = _cell(context, FIELDS_COLUMN, at)
    if text:
        copies = copies_of(text)
        if copies is None:
            flags.append(FIELDS_DROPPED)
        else:
            row["fields"] = copies
    if revision:
        row["revision"] = revision
    if flags:
        row["flags"] = [clean(flag[:64]) for flag in flags]


def _cell(context: Mapping[str, Sequence[str]], name: str, at: int) -> str:
    column = context.get(name)
    return "" if column is None else str(column[at])


def _known(context: Mapping[str, Sequence[str]], names: Sequence[str], at: int) -> dict[str, str]:
    cells = ((name, _cell(context, name, at)) for name in names)
    return {name: clean(text) for name, text in cells if text}


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


_OPTIONAL: Mapping[str, type | tuple[type, ...]] = {
    "error": str, "revision": int, "row_id": str, "fields": dict, "flags": list, "threshold": (int, float),
    "sha256": str, "family": str, "span": (int, float), "scored": (int, float),
    "latency_ms": int,
}  # fmt: skip


def _checked(row: Any, number: int) -> ScoredRow:
    if not isinstance(row, dict):
        raise MalformedBody(f"scored row {number} is {type(row).__name__}", "Send objects.")
    for name, kind in _REQUIRED.items():
        if not isinstance(row.get(name), kind):
            raise MalformedBody(f"{name} of scored row {number} is {type(row.get(name)).__name__}")
    for name in row.keys() & _OPTIONAL.keys():
        if not isinstance(row[name], _OPTIONAL[name]):
            raise MalformedBody(f"{name} of scored row {number} is {type(row[name]).__name__}")
    for name in ("time", "probability", "threshold", "span", "scored"):
        if not math.isfinite(row.get(name, 0.0)):
            raise MalformedBody(f"{name} of scored row {number} is {row[name]}")
    texts = [*row["mitre"], *row["entities"].values(), *row["origin"].values(), *row.get("flags", ())]
    for copied in row.get("fields", {}).values():
        texts.extend(copied if isinstance(copied, list) else [copied])
    if not all(isinstance(text, str) for text in texts):
        raise MalformedBody(f"scored row {number} holds a context value that is not text")
    return row  # type: ignore[return-value]  # every part of the TypedDict was checked above
