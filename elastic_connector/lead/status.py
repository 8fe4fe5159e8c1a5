"""What each source is doing, as others see it: health endpoint, metrics, heartbeats, the summary of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from elastic_connector.lead.ledger import Totals
from scorer.elastic_client.moments import Millis

STARTING, STANDBY, LEADING, DEGRADED, STOPPED = "starting", "standby", "leading", "degraded", "stopped"


@dataclass(frozen=True)
class SourceStatus:
    """One source. Every document that arrived before ``checkpoint`` is scored, every one before ``position`` was read.

    ``lag_seconds``: age of the oldest document that is known to wait; 0: none.
    """

    source: str
    model: str
    namespace: str
    version: str = ""
    state: str = STARTING
    reason: str = ""  # of a degraded source: what is wrong and what to do
    owner: str = ""
    epoch: int = 0
    checkpoint: Millis | None = None
    position: Millis | None = None
    lag_seconds: float = 0.0
    lag_documents: int | None = None
    in_flight_rows: int = 0
    in_flight_bytes: int = 0
    documents: int = 0
    bytes: int = 0
    reopened: int = 0  # points in time that were lost and opened again
    takeovers: int = 0
    busy: int = 0  # times that Elasticsearch or the queue said: later
    closed_indices: tuple[str, ...] = ()  # that the source names and nobody can read
    totals: Totals = field(default_factory=Totals)


class StatusBoard:
    """The newest status of each source; written by its thread, read by others."""

    def __init__(self, sources: list[SourceStatus]) -> None:
        self._lock = threading.Lock()
        self._statuses = {status.source: status for status in sources}

    def update(self, source: str, **changes: object) -> SourceStatus:
        """Note what changed about a source; returns all that is known about it."""
        with self._lock:
            status = replace(self._statuses[source], **changes)  # type: ignore[arg-type]  # names are checked by replace
            self._statuses[source] = status
        return status

    def __iter__(self) -> Iterator[SourceStatus]:
        with self._lock:
            return iter(list(self._statuses.values()))

    def __getitem__(self, source: str) -> SourceStatus:
        with self._lock:
            return self._statuses[source]

    @property
    def ready(self) -> bool:
        """Whether every source is led or watched, none degraded."""
        return all(status.state in (LEADING, STANDBY) for status in self)
