"""A second value under one id: the first stays, and that somebody sent another one is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from scorer.delivery.rows import ScoredRows
from scorer.elastic_client.failures import Missing, reached
from scorer.elastic_client.lookup import CHUNK_IDS, backing_indices
from scorer.logs import get_log
from scorer.wire.errors import QScoreError

#: Event in the log of the delivery worker for each id of which another value came.
CONFLICT = "score_conflict"
_FIELDS = ("qscore.score", "qscore.decision")
#: By how much two scores of one row may differ that two machines computed and six decimals hold.
_ROUNDING = 2e-6
_MOST_NAMED = 100  # ids of one part in the log


@dataclass(frozen=True)
class Value:
    """What a score says: its probability, and whether it is over the line."""

    probability: float
    alert: bool

    def differs(self, other: Value) -> bool:
        return abs(self.probability - other.probability) > _ROUNDING or self.alert != other.alert


@dataclass(frozen=True)
class Conflicts:
    """The ids in ``stream`` under which a batch sent something else than what is there."""

    stream: str
    batch_id: str
    ids: tuple[str, ...]


def tell_conflicts(client: Elasticsearch, stream: str, rows: ScoredRows) -> Conflicts | None:
    """Compare rows that ``stream`` has already with what it has; log each that says something else. None: none does.

    A cluster that does not answer costs the comparison and nothing else: the rows are settled.
    """
    try:
        written = _written(client, [index.name for index in backing_indices(client, stream)], rows.ids)
    except QScoreError as error:
        get_log().warning("score_conflicts_not_looked_for", stream=stream, rows=len(rows), reason=error.sentence())
        return None
    found = [(one, kept, value) for one, value in _values(rows) if (kept := written.get(one)) and kept.differs(value)]
    batch = rows.blocks[0].header.batch_id
    for one, kept, value in found[:_MOST_NAMED]:
        get_log().warning(
            CONFLICT,
            stream=stream,
            qscore_id=one,
            batch_id=batch,
            kept=kept.probability,
            kept_alert=kept.alert,
            refused=round(value.probability, 6),
            refused_alert=value.alert,
            conflicts=len(found),
        )
    return Conflicts(stream, batch, tuple(one for one, _, _ in found)) if found else None


def _values(rows: ScoredRows) -> list[tuple[str, Value]]:
    numbers = [(block.numbers("probability"), block.numbers("alert")) for block in rows.blocks]
    probabilities = chain.from_iterable(np.asarray(column).tolist() for column, _ in numbers)
    alerts = chain.from_iterable(np.asarray(column).tolist() for _, column in numbers)
    return [(one, Value(p, alert)) for one, p, alert in zip(rows.ids, probabilities, alerts, strict=True)]


def _written(client: Elasticsearch, indices: Sequence[str], ids: Sequence[str]) -> dict[str, Value]:
    """Read what the documents of ``ids`` say; the oldest index counts, and what is no score is left out."""
    found: dict[str, Value] = {}
    for index in indices:
        for start in range(0, len(ids), CHUNK_IDS):
            for document in _documents(client, index, ids[start : start + CHUNK_IDS]):
                value = _value(document)
                if value is not None:
                    found.setdefault(str(document["_id"]), value)
    return found


def _documents(client: Elasticsearch, index: str, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    try:
        with reached(f"read scores in {index}", "index privilege read on the stream of scores"):
            body: Any = client.mget(index=index, ids=list(ids), source_includes=list(_FIELDS), realtime=True).body
    except Missing:
        return []
    listed = body.get("docs") if isinstance(body, Mapping) else None
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _value(document: Mapping[str, Any]) -> Value | None:
    source = document.get("_source")
    said = source.get("qscore") if isinstance(source, Mapping) else None
    if not isinstance(said, Mapping):
        return None
    score, decision = said.get("score"), said.get("decision")
    if isinstance(score, int | float) and isinstance(decision, bool):
        return Value(float(score), decision)
    return None
