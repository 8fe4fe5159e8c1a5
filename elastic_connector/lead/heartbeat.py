"""Heartbeats: one small document a minute and source in the stream of scores, so that stopped scoring shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import Elasticsearch

from elastic_connector.lead.status import DEGRADED, LEADING, SourceStatus, StatusBoard
from scorer.elastic_client.failures import reached
from scorer.elastic_client.moments import Millis, iso
from scorer.elastic_client.names import SCORES_DATASET, SCORES_STREAM
from scorer.logs import get_log
from scorer.wire.errors import QScoreError

EVERY = 60.0  # seconds
_SHOWN = 20  # closed indices that a heartbeat names
#: Seconds after which a source that had no heartbeat yet, or whose heartbeat failed, is looked at again.
SOON = 5.0


def heartbeat(status: SourceStatus, now: Millis) -> dict[str, Any]:
    """Make the document. Its event.kind keeps it apart from scores (enrichment, pipeline_error)."""
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
        "closed_indices": list(status.closed_indices[:_SHOWN]) or None,
    }
    document: dict[str, Any] = {
        "@timestamp": iso(now),
        "event": {
            "kind": "metric",
            "action": "heartbeat",
            "module": "qscore",
            "dataset": SCORES_DATASET,
            "ingested": iso(now),
        },
        "data_stream": {"type": "logs", "dataset": SCORES_DATASET, "namespace": status.namespace},
        "qscore": {
            "heartbeat": {name: value for name, value in beat.items() if value is not None},
            "model": {"name": status.model, "version": status.version},
        },
    }
    if status.reason:
        document["error"] = {"message": status.reason}
    return document


def send_heartbeat(client: Elasticsearch, status: SourceStatus, now: Millis) -> bool:
    """Write one for a source that is led here; a standby leaves it to the leader. Raises what `reached` names."""
    if status.state not in (LEADING, DEGRADED) or not status.owner:
        return False
    with reached("write a heartbeat", "index privilege create_doc on the stream of scores"):
        client.index(
            index=f"{SCORES_STREAM}-{status.namespace}",
            document=heartbeat(status, now),
            op_type="create",
            # Without its template the name would become an index, in whose place no stream can be made.
            require_data_stream=True,
        )
    return True


@dataclass
class Heartbeats:
    """When each source's next heartbeat is due: soon after it was taken, then every minute. ``now``: the server's
    clock; ``stop``: after which nothing is sent any more."""

    client: Elasticsearch
    board: StatusBoard
    now: Callable[[], Millis]
    stop: threading.Event
    clock: Callable[[], float] = time.monotonic
    _due: dict[str, float] = field(default_factory=dict)

    def send_due(self) -> None:
        """Send the heartbeats that are due. Never raises for what the cluster does: one that failed must not end the
        others.
        """
        for status in self.board:
            began = self.clock()
            if self.stop.is_set() or began < self._due.setdefault(status.source, began + SOON):
                continue
            sent = False
            try:
                sent = send_heartbeat(self.client, status, self.now())
            except QScoreError as error:
                get_log().warning("no_heartbeat", source=status.source, reason=error.detail)
            except Exception:  # whatever it was: without heartbeats scoring would seem to have stopped
                get_log().exception("no_heartbeat", source=status.source)
            self._due[status.source] = began + (EVERY if sent else SOON)
