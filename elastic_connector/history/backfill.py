"""Scores for a range of time, beside live scoring and behind it: resumable, and never the same score twice.

Rows of the range that have no score of the version are sent through the same queue, workers and sink as live rows,
one batch whenever nothing else waits, and not at all while live scoring falls behind. What has been confirmed stands
in a state document of the range's own: the same command again goes on from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

from elastic_connector.history.unscored import Scores, Tally, lacking
from elastic_connector.lead.batches import Sender, StreamRoute, in_place_of, new_batch
from elastic_connector.lead.lease import Lease
from elastic_connector.lead.ledger import Ledger
from elastic_connector.read.pages import OF_THE_MODEL, RowPage
from scorer.elastic_client.failures import RETRYABLE
from scorer.logs import get_log
from scorer.service.queue.exchange import BatchOutcome
from scorer.wire.errors import QScoreError, Unavailable

_LOOK = 0.25  # seconds between looks at the queue while something else has it
#: Seconds by which live scoring may fall behind where it was before a backfill waits for it.
LAG_ALLOWED = 60.0
_LAG_EVERY = 5.0

Pages = Callable[[int], Iterator[RowPage]]


@dataclass(frozen=True)
class Scope:
    """What is to be scored: documents (or windows) whose time lies from ``low`` to before ``high``, milliseconds."""

    source: str
    model: str
    version: str
    namespace: str
    low: int
    high: int

    @property
    def job(self) -> str:
        """The name under which the work's state stands: the same for the same work."""
        parts = (self.version, self.namespace, str(self.low), str(self.high))
        return f"{self.model}.backfill.{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:12]}"

    def route(self, epoch: int) -> StreamRoute:
        """A stream of its own, so that live scoring's leaders and this one do not end each other's batches."""
        return StreamRoute(self.source, self.job, epoch, self.namespace)


@dataclass(frozen=True)
class Progress:
    """``position``: milliseconds, up to which everything is confirmed. ``waiting``: for what, empty while working."""

    position: int
    tally: Tally
    written: int
    dead: int
    waiting: str = ""


@dataclass
class LiveLag:
    """Whether live scoring falls behind. ``lag``: its seconds behind now, None where nothing is scored live."""

    lag: Callable[[], float | None]
    clock: Callable[[], float] = time.monotonic
    _first: float | None = None
    _asked: float = float("-inf")
    _behind: bool = False

    def behind(self) -> bool:
        """True while the lag is more than ``LAG_ALLOWED`` above what it was at the start. Asked every few seconds."""
        now = self.clock()
        if now - self._asked >= _LAG_EVERY:
            self._asked = now
            lag = self.lag()
            if lag is None:
                self._behind = False
            else:
                self._first = lag if self._first is None else min(self._first, lag)
                self._behind = lag > self._first + LAG_ALLOWED
        return self._behind


@dataclass
class Backfill:
    """One run. ``pages``: rows from a position on. ``server_now``: epoch seconds by the cluster's clock.

    ``limit``: rows in flight.
    """

    scope: Scope
    pages: Pages
    scores: Scores
    lease: Lease
    make_sender: Callable[[StreamRoute], Sender]
    server_now: Callable[[], float]
    live: LiveLag
    limit: int
    late_seconds: float
    show: Callable[[Progress], None] = lambda _progress: None
    clock: Callable[[], float] = time.monotonic
    stopped: Event = field(default_factory=Event)
    tally: Tally = field(default_factory=Tally)

    def run(self) -> Progress:
        """To the end, or until ``stopped``. Raises Unavailable where somebody else does the same work, or the lease is
        lost, and what the cluster's failures are raised as."""
        if not self._acquired():
            raise Unavailable(
                f"another process works on {self.lease.id}",
                f"Wait for it; if it was killed, its work is free after {self.lease.seconds:g} s.",
            )
        state = self.lease.state
        start = state.checkpoint if state is not None and state.checkpoint is not None else self.scope.low
        work = _Work(self, self._announced(), start)
        try:
            work.through(self.pages(start))
        finally:
            self._let_go(work)
        return work.progress()

    def _acquired(self) -> bool:
        """A run that was killed holds its lease until it has run out."""
        deadline = self.clock() + 2 * self.lease.seconds
        while not self.lease.acquire(self.scope.version):
            if self.clock() > deadline or self.stopped.wait(self.lease.look_every):
                return False
        return True

    def _announced(self) -> Sender:
        """A sender whose epoch is the highest that the queue knows of: work that was done once before has left no
        state document, but its number is still on the queue."""
        try:
            while True:
                sender = self.make_sender(self.scope.route(self.lease.epoch))
                there = sender.announce()
                if there <= self.lease.epoch:
                    return sender
                self.lease.advance(there + 1)
        except QScoreError:
            with contextlib.suppress(QScoreError):  # it runs out by itself
                self.lease.release()
            raise

    def _let_go(self, work: _Work) -> None:
        try:
            self.lease.release(work.ledger.checkpoint)
        except RETRYABLE as error:  # it runs out by itself; the error that ended the run is the one to tell
            get_log().warning("lease_not_released", reason=error.sentence())


@dataclass
class _Work:
    """A run under way."""

    run: Backfill
    sender: Sender
    start: int
    ledger: Ledger = field(init=False)
    _renewed: float = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.run.late_seconds)
        self._renewed = self.run.clock()

    def through(self, pages: Iterator[RowPage]) -> None:
        """Sends what has no score, page by page, and waits until all of it is confirmed."""
        for page in pages:
            if self.run.stopped.is_set():
                break
            rest = lacking(page, self.run.scores, self.run.tally)
            self._await_turn(rest.rows)
            self.ledger.add(new_batch(rest, self.run.server_now()))
            self._step(0.0)
        while not self.ledger.empty and not self.run.stopped.is_set():
            self._step(_LOOK)

    def progress(self, waiting: str = "") -> Progress:
        totals = self.ledger.totals
        return Progress(self.ledger.checkpoint or self.start, self.run.tally, totals.written, totals.dead, waiting)

    def _await_turn(self, rows: int) -> None:
        """Live rows and searches go first: nothing is added to a queue in which something waits."""
        while rows and not self.run.stopped.is_set():
            reason = self._reason_to_wait()
            if not reason:
                return
            self._step(_LOOK, reason)

    def _reason_to_wait(self) -> str:
        if self.ledger.rows_in_flight >= self.run.limit:
            return "for confirmations"
        if self.run.live.behind():
            return "for live scoring, which is behind"
        return "for the queue" if self._queue_in_use() else ""

    def _queue_in_use(self) -> bool:
        try:
            return self.sender.busy()
        except Unavailable:
            return True

    def _step(self, seconds: float, waiting: str = "") -> None:
        """What must go on all the time: outcomes, late batches, the lease."""
        try:
            outcome = self.sender.wait_outcome(seconds) if seconds else None
            for one in [*([outcome] if outcome else []), *self.sender.outcomes()]:
                self._take(one)
            for batch in self.ledger.due(self.run.clock()):
                self.sender.send(batch)
                self.ledger.sent(batch.batch_id, self.run.clock())
        except Unavailable as error:
            get_log().info("queue_not_there", reason=error.detail)
            self.run.stopped.wait(_LOOK)
        self._renew()
        self.run.show(self.progress(waiting))

    def _take(self, outcome: BatchOutcome) -> None:
        if outcome.ack is not None:
            self.ledger.acknowledge(outcome.ack)
            return
        batch, problem = self.ledger.batch(outcome.batch_id), outcome.problem
        if batch is None or problem is None:
            return
        if problem.code in OF_THE_MODEL:  # no row is to blame: nothing may be written for any
            raise problem.error()
        if parts := in_place_of(batch, problem):
            self.ledger.split(batch.batch_id, parts)

    def _renew(self) -> None:
        now = self.run.clock()
        if now - self._renewed >= self.run.lease.renew_every:
            self._renewed = now
            self.run.lease.renew(self.ledger.checkpoint)
