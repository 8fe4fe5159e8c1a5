"""What each source is doing, as others see it: health endpoint, metrics, heartbeats, the summary of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from elastic_connector.lead.ledger import Totals
from scorer.elastic_client.failures import ElasticBusy
from scorer.elastic_client.moments import Millis
from scorer.logs import get_log
from scorer.wire.errors import QScoreError, QueueFull

#: Seconds between two tries at a source, at most.
_LONGEST_PAUSE = 15.0
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
        """Tell whether every source is led or watched, none degraded."""
        return all(status.state in (LEADING, STANDBY) for status in self)


@dataclass
class Trouble:
    """Failures of one source in a row.

    ``first``: seconds of the first pause, each further one twice as long. ``gives_up_after``: failures after which a
    single run ends with the error, as it does at once with one that no waiting mends; None: never.
    """

    source: str
    board: StatusBoard
    first: float
    gives_up_after: int | None = None
    failures: int = 0

    def tell(self, error: QScoreError) -> float:
        """Note what failed; returns the seconds to wait before the next try. Raises ``error`` where none follows.

        A full queue is no fault of the source: it is counted, and the source stays healthy.
        """
        self.failures += 1
        before = self.board[self.source]
        if isinstance(error, (ElasticBusy, QueueFull)):
            self.board.update(self.source, busy=before.busy + 1)
        if not isinstance(error, QueueFull):
            if (before.state, before.reason) != (DEGRADED, error.sentence()):
                get_log().error("source_degraded", source=self.source, reason=error.sentence())
            self.board.update(self.source, state=DEGRADED, reason=error.sentence())
            limit = self.gives_up_after
            if limit is not None and (not error.retryable or self.failures > limit):
                raise error
        asked = error.retry_after if isinstance(error, ElasticBusy) else None
        return min(_LONGEST_PAUSE, asked or self.first * 2.0 ** min(self.failures - 1, 8))

    def over(self) -> bool:
        """Note that something succeeded; returns whether anything had failed before it."""
        failed, self.failures = self.failures > 0, 0
        return failed
