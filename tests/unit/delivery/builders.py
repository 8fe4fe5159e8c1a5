"""Scored rows to deliver, built by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from scorer.delivery.elastic.document import document_lines
from scorer.delivery.hec.event import ENTITY_FIELDS, ORIGIN_FIELDS, event_lines
from scorer.delivery.rows import ScoredRows
from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.delivery.stored_rows import read_rows, row_objects
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.identity import Writer
from scorer.wire.card import ModelCard

TOKEN = "11111111-2222-3333-4444-555555555555"

#: Every field that a score may carry in `fields`; fields.conf and docs/fields.md name the same.
INDEXED_FIELDS = (
    "qscore",
    "qscore_risk",
    "qscore_band",
    "qscore_alert",
    "qscore_pvalue",
    "qscore_classical",
    "qscore_reason",
    "qscore_model",
    "qscore_version",
    "qscore_serve",
    "qscore_starter",
    "qscore_grain",
    "qscore_mitre",
    "qscore_id",
    "qscore_batch",
    *ENTITY_FIELDS.values(),
    *ORIGIN_FIELDS.values(),
)


def make_card(**changes: object) -> ModelCard:
    raw = {
        "name": "lateral",
        "version": "1-starter",
        "family": "svc",
        "title": "Lateral movement by authentication",
        "trained_on": "generated activity",
        "serve": "quantum",
        "grain": "window",
        "macro": "qscore_lateral_rows",
        "starter": True,
        "required_fields": ["events"],
        "context_fields": ["_time", "user"],
        "threshold": 0.8,
        "fpr": 0.01,
        "details": {"mitre": ["T1021"]},
        **changes,
    }
    return ModelCard.from_dict(raw)


def make_batches(count: int, **context: list[str]) -> tuple[FeatureBatch, ScoreBatch]:
    columns = {
        "_time": [str(1_700_000_400 + 600 * i) for i in range(count)],
        "user": [f"user{i}" for i in range(count)],
        "src": ["10.0.0.1"] * count,
        "dest": [f"srv{i:02d}" for i in range(count)],
        **context,
    }
    batch = FeatureBatch("batch-0001", "lateral", {"events": np.ones(count)}, columns, list(range(count)))
    scores = ScoreBatch(
        batch_id="batch-0001",
        model="lateral",
        version="1-starter",
        row_ids=list(range(count)),
        probability=np.array([0.1 + 0.01 * i for i in range(count)]),
        pvalue=np.full(count, 0.01),
        classical=np.full(count, 0.25),
        risk=np.full(count, 80),
        band=np.full(count, 2),
        alert=np.arange(count) % 2 == 1,
        reason=["share of failures is high"] * count,
    )
    return batch, scores


def make_rows(count: int, **context: list[str]) -> ScoredRows:
    return scored_rows(*make_batches(count, **context), make_card()).rows


def make_known_rows(count: int, **context: list[str]) -> ScoredRows:
    """Rows of a connector, with the ids that 0.1.0 gave them."""
    writer = Writer.connector("default", "dc")
    return scored_rows(*make_batches(count, **context), make_card(), ScoringFacts(old_ids=True), writer).rows


def objects_of(rows: ScoredRows) -> list[dict[str, Any]]:
    """Rows as objects, in the form of 0.1.0."""
    return list(row_objects(rows))


def rows_from(*objects: Mapping[str, Any]) -> ScoredRows:
    """Rows of such objects."""
    return read_rows([dict(one) for one in objects])


def changed(rows: ScoredRows, at: int = 0, **parts: Any) -> ScoredRows:
    """The same rows but for parts of one of them."""
    objects = objects_of(rows)
    objects[at] |= parts
    return rows_from(*objects)


def events_of(rows: ScoredRows, index: str = "qscore") -> list[dict[str, Any]]:
    """What HEC is sent."""
    return [json.loads(line) for line in event_lines(rows, index).body().decode().split("\n")[:-1]]


def documents_of(rows: ScoredRows, namespace: str = "default", **options: Any) -> list[dict[str, Any]]:
    """What Elasticsearch is sent, less the actions."""
    lines = document_lines(rows, namespace, **options).body().decode().split("\n")
    return [json.loads(line) for line in lines[1::2]]
