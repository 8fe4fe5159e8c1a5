"""Heartbeats: one small document a minute and source in the stream of scores, so that stopped scoring shows."""

from __future__ import annotations

from typing import Any

from elasticsearch import Elasticsearch

from elastic_connector.state import iso
from elastic_connector.status import DEGRADED, LEADING, SourceStatus
from scorer.elastic.failures import reached
from scorer.wire.names import SCORES_DATASET, SCORES_STREAM

EVERY = 60.0  # seconds


def heartbeat(status: SourceStatus, now: int) -> dict[str, Any]:
    """The document; ``now`` in milliseconds. Its event.kind keeps it apart from scores (enrichment, pipeline_error)."""
    totals = status.totals
    beat = {
        "source": status.source,
        "state": status.state,
        "owner": status.owner,
        "epoch": status.epoch,
        "checkpoint": None if status.checkpoint is None else iso(status.checkpoint),
        "lag_seconds": round(status.lag_seconds, 3),
        "lag_documents": status.lag_documents,
        "in_flight_rows": status.in_flight_rows,
        "documents": status.documents,
        "written": totals.written,
        "already_there": totals.already_there,
        "dead": totals.dead,
        "retries": totals.retries,
    }
    document: dict[str, Any] = {
        "@timestamp": iso(now),
        "event": {"kind": "metric", "action": "heartbeat", "module": "qscore", "dataset": SCORES_DATASET},
        "data_stream": {"type": "logs", "dataset": SCORES_DATASET, "namespace": status.namespace},
        "qscore": {
            "heartbeat": {name: value for name, value in beat.items() if value is not None},
            "model": {"name": status.model, "version": status.version},
        },
    }
    if status.reason:
        document["error"] = {"message": status.reason}
    return document


def send_heartbeat(client: Elasticsearch, status: SourceStatus, now: int) -> bool:
    """Write one for a source that is led here; a standby leaves it to the leader. Raises what `reached` names."""
    if status.state not in (LEADING, DEGRADED) or not status.owner:
        return False
    with reached("write a heartbeat", "index privilege create_doc on the stream of scores"):
        client.index(index=f"{SCORES_STREAM}-{status.namespace}", document=heartbeat(status, now), op_type="create")
    return True
