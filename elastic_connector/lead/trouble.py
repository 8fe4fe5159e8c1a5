"""What is wrong with a source: told once, on the board and in the log, and waited out ever more patiently."""

from __future__ import annotations

from dataclasses import dataclass

from elastic_connector.lead.status import DEGRADED, StatusBoard
from scorer.elastic_client.failures import ElasticBusy
from scorer.logs import get_log
from scorer.wire.errors import QScoreError, QueueFull

#: Seconds.
LONGEST_PAUSE = 15.0


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
        return min(LONGEST_PAUSE, asked or self.first * 2.0 ** min(self.failures - 1, 8))

    def over(self) -> bool:
        """Note that something succeeded; returns whether anything had failed before it."""
        failed, self.failures = self.failures > 0, 0
        return failed
