"""Rows on their way to being scored: pages in, batches out, late ones again, refused ones cut, outcomes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from elastic_connector.lead.batches import Sender, in_place_of, new_batch
from elastic_connector.lead.lease import Lease
from elastic_connector.lead.ledger import Batch, Ledger
from elastic_connector.read.pages import OF_THE_MODEL, RowPage
from scorer.logs import get_log
from scorer.service.queue.exchange import BatchOutcome
from scorer.wire.errors import MalformedBody, QScoreError


class BatchQueue(Protocol):
    """The end of the queue that a leader sees; `Sender` is one. Every method raises Unavailable while it is away."""

    def busy(self) -> bool: ...

    def send(self, batch: Batch) -> None: ...

    def outcomes(self) -> list[BatchOutcome]: ...

    def wait_outcome(self, seconds: float) -> BatchOutcome | None: ...


def _anything() -> None:
    """Hold no batch back."""


@dataclass
class Shipment:
    """Batches of one leader of one source, from their page to their acknowledgement.

    ``before_send`` is called before each batch goes out; what it raises keeps the batch here. ``ticks``: monotonic
    seconds.
    """

    source: str
    queue: BatchQueue
    ledger: Ledger
    before_send: Callable[[], None] = _anything
    ticks: Callable[[], float] = time.monotonic

    def room(self, rows: int) -> bool:
        """Tell whether another page may be read: fewer than ``rows`` are on their way, and nothing waits to be sent."""
        return self.ledger.rows_in_flight < rows and next(self.ledger.unsent(), None) is None

    def load(self, page: RowPage, server_now: float) -> None:
        """Note a page at its place in the order; `send_due` sends it. ``server_now``: seconds by the cluster's clock.

        A page without rows moves the checkpoint once all before it are done.
        """
        self.ledger.add(new_batch(page, server_now))

    def send_due(self) -> None:
        """Send what was never sent and what is late, the latter more patiently while messages wait on the queue.

        Raises Unavailable, QueueFull, and what ``before_send`` raises; what is left then is due the next time.
        """
        for batch in self.ledger.unsent():
            self._send(batch)
        now = self.ticks()
        if any(True for _ in self.ledger.due(now)):
            for batch in self.ledger.due(now, busy=self.queue.busy()):
                self._send(batch)
                get_log().info("batch_sent_again", source=self.source, batch_id=batch.batch_id, rows=batch.rows)

    def take(self, seconds: float = 0.0) -> bool:
        """Take what has become of batches, waiting up to ``seconds`` for the first; whether anything came.

        A batch that is itself the reason why no worker could score it is cut in two; any other comes again. Raises
        Unavailable, and after all was taken the error of a model that cannot be used (no row is to blame for that), or
        MalformedBody of a row that is refused even as an error.
        """
        first = self.queue.wait_outcome(seconds) if seconds > 0 else None
        waited = first is not None and self._settle([first])
        return self._settle(self.queue.outcomes()) or waited

    def _send(self, batch: Batch) -> None:
        self.before_send()
        self.queue.send(batch)
        self.ledger.sent(batch.batch_id, self.ticks())

    def _settle(self, outcomes: Iterable[BatchOutcome]) -> bool:
        found, error = False, None
        for outcome in outcomes:
            found = True
            if outcome.ack is not None:
                self.ledger.acknowledge(outcome.ack)
            else:
                error = self._refuse(outcome) or error
        if error is not None:
            raise error
        return found

    def _refuse(self, outcome: BatchOutcome) -> QScoreError | None:
        """Deal with a batch that nobody could score; returns the error if it is more than a matter of its rows."""
        batch, problem = self.ledger.batch(outcome.batch_id), outcome.problem
        if batch is None or problem is None:
            return None
        error = problem.error()
        self.ledger.totals.refused += 1
        get_log().warning(
            "batch_refused", source=self.source, batch_id=batch.batch_id, code=problem.code, reason=error.sentence()
        )
        if problem.code in OF_THE_MODEL:
            return error
        try:
            parts = in_place_of(batch, problem)
        except MalformedBody as unwritable:
            return unwritable
        if parts:
            self.ledger.split(batch.batch_id, parts)
        return None


def leading_sender(lease: Lease, make: Callable[[int], Sender]) -> Sender:
    """Make a sender (from an epoch) whose epoch is the highest that the queue knows of, and lead under that number.

    The queue may know a higher one than the lease: of a state document that was deleted and began to count anew.
    Raises Unavailable, LeaseLost, and what writing the state raises.
    """
    while True:
        sender = make(lease.epoch)
        in_force = sender.announce()
        if in_force <= lease.epoch:
            return sender
        lease.advance(in_force + 1)
