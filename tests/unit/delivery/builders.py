"""Scored rows to deliver, built by hand."""

from __future__ import annotations

from scorer.delivery.hec.event import ENTITY_FIELDS, ORIGIN_FIELDS
from scorer.delivery.rows import ScoredRow, scored_rows
from scorer.rows.batches import FeatureBatch, ScoreBatch
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
    batch = FeatureBatch("batch-0001", "lateral", {"events": [1.0] * count}, columns, list(range(count)))
    scores = ScoreBatch(
        batch_id="batch-0001",
        model="lateral",
        version="1-starter",
        row_ids=list(range(count)),
        probability=[0.1 + 0.01 * i for i in range(count)],
        pvalue=[0.01] * count,
        classical=[0.25] * count,
        risk=[80] * count,
        band=[2] * count,
        alert=[i % 2 == 1 for i in range(count)],
        reason=["share of failures is high"] * count,
        status=["ok"] * count,
    )
    return batch, scores


def make_rows(count: int, **context: list[str]) -> list[ScoredRow]:
    return scored_rows(*make_batches(count, **context), make_card()).rows
