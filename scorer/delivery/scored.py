"""From scored batches to the columns that are written: ids, cleaned context, numbers, and one header for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.delivery.context_cells import FIELDS_DROPPED, MAX_TEXT, clean, copies_fit, flags_of, revision_of
from scorer.delivery.number_columns import rounded
from scorer.delivery.rows import LATEST, NO_ROWS, Header, ScoredRows, block_of, digests, texts
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.columns import (
    ENTITY_COLUMNS,
    FIELDS_COLUMN,
    FLAGS_COLUMN,
    ORIGIN_COLUMNS,
    REVISION_COLUMN,
    TIME_COLUMN,
)
from scorer.rows.identity import Context, Writer, batch_ids, canonical_time
from scorer.wire.card import ModelCard

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
_Made = TypeVar("_Made")

_NO_ID = "0" * 64  # in the place of a row that is not written
#: What the numbers of a row say that could not be scored: nothing.
_NO_NUMBERS = {"probability": 0.0, "pvalue": 1.0, "classical": 0.0, "risk": 0, "band": 0, "alert": False}


@dataclass(frozen=True)
class ScoringFacts:
    """What a batch's rows say of how they were scored, beside the card. ``scored``, ``submitted``: epoch seconds.

    ``errors``: rows that could not be scored are wanted too, each with its status in ``error``. ``old_ids``: rows may
    have been written by 0.1.0, and are to be looked up by the ids that it gave them too.
    """

    errors: bool = False
    old_ids: bool = False
    threshold: float | None = None  # the caller's own line, if any
    sha256: str = ""
    scored: float = 0.0
    submitted: float = 0.0


class Shaped(NamedTuple):
    """``rows`` to write, and the positions of scored rows that have no usable time or no identity."""

    rows: ScoredRows
    skipped: tuple[int, ...]


def scored_rows(
    batch: FeatureBatch,
    scores: ScoreBatch,
    card: ModelCard,
    facts: ScoringFacts | None = None,
    writer: Writer | None = None,
) -> Shaped:
    """Take the rows of ``batch`` whose status is ok, in order; with ``facts.errors`` those of any status.

    ``writer`` enters their ids; None for a batch that was sent before 0.2.0, whose rows have the ids of then.

    A row without time or identity is left out and named in ``skipped``: written, it could not be told from its own
    repetition. A row that could not be scored has the id that its score would have, so that it is written once as well,
    and the time of scoring where it has none of its own. Raises ValueError when the two batches differ in length.
    """
    if len(batch) != len(scores):
        raise ValueError(f"{len(batch)} rows but {len(scores)} scores")
    facts = facts or ScoringFacts()
    ok = np.ones(len(scores), np.bool_)
    ok[list(scores.defects)] = False
    wanted = np.ones_like(ok) if facts.errors else ok
    times = _times(batch.context, len(ok))
    times = np.where(ok | np.isfinite(times), times, facts.scored)
    revisions = _each(batch.context, REVISION_COLUMN, len(ok), revision_of)
    made = batch_ids(scores.model, scores.version, batch.context, revisions, writer, facts.old_ids)
    known = np.array([one is not None for one in made.ids], np.bool_)
    kept = wanted & known & np.isfinite(times)
    skipped = tuple(np.flatnonzero(wanted & ~kept).tolist())
    if not kept.any():
        return Shaped(NO_ROWS, skipped)
    columns = {
        "id": _digests(made.ids),
        "time": pa.array(times),
        **_numbers(scores, ok),
        **_context(batch.context),
        **_words(scores, ok),
        "revision": None if made.first is None else pa.array([one or 0 for one in revisions], pa.int64()),
        "row_id": _digests(made.first),
        "old_id": _digests(made.old),
        **_edge(batch.context, len(ok)),
    }
    block = block_of(_header(batch.batch_id, scores, card, facts), columns)
    return Shaped(ScoredRows((block.where(kept),)), skipped)


def _header(batch_id: str, scores: ScoreBatch, card: ModelCard, facts: ScoringFacts) -> Header:
    shared = (card.title, card.starter, scores.serve, card.grain, tuple(card.mitre))
    header = Header(batch_id, scores.model, scores.version, *shared)
    if not facts.scored:
        return header
    latency = max(0, round(1000 * (facts.scored - facts.submitted)))  # clocks of two machines: never below 0
    return replace(
        header,
        threshold=card.threshold if facts.threshold is None else facts.threshold,
        sha256=facts.sha256,
        family=card.family,
        span=card.span or 0.0,
        scored=facts.scored,
        latency_ms=latency if facts.submitted else None,
    )


def _times(context: Context, rows: int) -> Floats:
    """Compute each row's time (N,), in epoch seconds, as `canonical_time` writes it; NaN where it has no usable one."""
    column = context.get(TIME_COLUMN)
    if column is None:
        return np.full(rows, np.nan)
    try:
        seconds = pa.array(column, pa.string()).cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, UnicodeEncodeError):  # one of them is no number, or one that Python alone reads
        return np.array([float(canonical_time(text) or math.nan) for text in column])
    return np.where((seconds > 0) & (seconds < LATEST), rounded(seconds, 3), np.nan)


def _each(context: Context, name: str, rows: int, read: Callable[[str], _Made]) -> list[_Made]:
    """Apply ``read`` to each cell of a column, once for each different one; to "" where the column is absent."""
    column = context.get(name)
    if column is None:
        return [read("")] * rows
    made = {text: read(text) for text in set(column)}
    return [made[text] for text in column]


def _numbers(scores: ScoreBatch, ok: Mask) -> Mapping[str, Any]:
    """Gather columns of what scoring says; of rows that were not scored, of nothing."""
    found = {name: np.asarray(getattr(scores, name)) for name in _NO_NUMBERS}
    if not ok.all():
        found = {name: np.where(ok, column, _NO_NUMBERS[name]) for name, column in found.items()}
    floats = {name: pa.array(found[name].astype(np.float64)) for name in ("probability", "pvalue", "classical")}
    small = {name: pa.array(found[name].astype(np.uint8)) for name in ("risk", "band")}
    return {**floats, **small, "alert": pa.array(found["alert"].astype(np.bool_))}


def _context(context: Context) -> Mapping[str, Any]:
    """Gather entities and origins as they may be written."""
    return {name: texts(_cleaned(context.get(name, ()))) for name in (*ENTITY_COLUMNS, *ORIGIN_COLUMNS)}


def _cleaned(column: Sequence[str]) -> Sequence[str]:
    tidy = "".join(column).isprintable() and max(map(len, column), default=0) <= MAX_TEXT
    return column if tidy else [clean(text) for text in column]


def _digests(ids: Sequence[str | None] | None) -> Any:
    return None if ids is None else digests(one or _NO_ID for one in ids)


def _words(scores: ScoreBatch, ok: Mask) -> Mapping[str, Any]:
    """Choose the reason of a row that was scored, the status of any other."""
    if ok.all():
        return {"reason": texts(scores.reason)}
    fine = ok.tolist()
    return {
        "reason": texts([reason if scored else "" for reason, scored in zip(scores.reason, fine, strict=True)]),
        "error": texts([str(scores.defects.get(row, "")) for row in range(len(fine))]),
    }


def _edge(context: Context, rows: int) -> Mapping[str, Any]:
    """Gather what the connector sent along; nothing of it on rows of a search."""
    flags = _each(context, FLAGS_COLUMN, rows, flags_of)
    fields = list(context.get(FIELDS_COLUMN, ()))
    for at, text in enumerate(fields):
        if not copies_fit(text):
            fields[at], flags[at] = "", ",".join(filter(None, (flags[at], FIELDS_DROPPED)))
    return {"fields": texts(fields), "flags": texts(flags)}
