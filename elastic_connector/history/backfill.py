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
from functools import partial
from threading import Event

from elastic_connector.history.unscored import Tally, VersionScores, lacking
from elastic_connector.lead.batches import Sender, StreamRoute
from elastic_connector.lead.lease import Lease
from elastic_connector.lead.ledger import Ledger
from elastic_connector.lead.shipment import Shipment, leading_sender
from elastic_connector.read.pages import RowPage
from scorer.elastic_client.failures import RETRYABLE
from scorer.elastic_client.moments import Millis
from scorer.logs import get_log
from scorer.wire.errors import QScoreError, Unavailable

_LOOK = 0.25  # seconds between looks at the queue while something else has it
#: Seconds by which live scoring may fall behind where it was before a backfill waits for it.
LAG_ALLOWED = 60.0
_LAG_EVERY = 5.0
#: Seconds for which a look-up that the cluster cannot answer is repeated before a backfill ends with its error.
PATIENCE = 60.0

Pages = Callable[[Millis], Iterator[RowPage]]


@dataclass(frozen=True)
class HistoryScope:
    """What is to be scored: documents (or windows) whose time lies from ``low`` to before ``high``."""

    source: str
    model: str
    version: str
    namespace: str
    low: Millis
    high: Millis

    @property
    def job(self) -> str:
        """Return the name under which the work's state stands: one and the same for equal work."""
        parts = (self.version, self.namespace, str(self.low), str(self.high))
        return f"{self.model}.backfill.{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:12]}"

    def route(self, epoch: int) -> StreamRoute:
        """Return a stream of its own, so that live scoring's leaders and this one do not end each other's batches."""
        return StreamRoute(self.source, self.job, epoch, self.namespace)


@dataclass(frozen=True)
class Progress:
    """``position``: up to which everything is confirmed. ``waiting``: for what, empty while working."""

    position: Millis
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
        """Tell whether the lag is more than ``LAG_ALLOWED`` above what it was first; looked at every few seconds."""
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
    """One run. ``pages``: rows from a position on. ``server_now``: seconds of the epoch by the cluster's clock.

    ``limit``: rows in flight. ``clock``: monotonic seconds.
    """

    scope: HistoryScope
    pages: Pages
    scores: VersionScores
    lease: Lease
    make_sender: Callable[[StreamRoute], Sender]
    server_now: Callable[[], float]
    live: LiveLag
    limit: int
    late_seconds: float
    show: Callable[[Progress], None] = lambda _progress: None
    clock: Callable[[], float] = time.monotonic
    stopped: Event = field(default_factory=Event)

    def run(self) -> Progress:
        """Run to the end, or until ``stopped``. Raises Unavailable where somebody else does the same work, or the lease
        is lost, and what the cluster's failures are raised as.
        """
        if not self._acquired():
            raise Unavailable(
                f"another process works on {self.lease.id}",
                f"Wait for it; if it was killed, its work is free after {self.lease.seconds:g} s.",
            )
        state = self.lease.state
        start = state.checkpoint if state is not None and state.checkpoint is not None else self.scope.low
        sender = self._leading()
        shipment = Shipment(self.scope.source, sender, Ledger(self.late_seconds), ticks=self.clock)
        work = _Work(shipment, self.lease, _Turn(shipment, sender.busy, self.live, self.limit), start, self.show)
        try:
            self._through(work, self.pages(start))
        finally:
            self._let_go(shipment.ledger.checkpoint)
        return work.progress()

    def _acquired(self) -> bool:
        """Take the lease, and wait for it: a run that was killed holds its own until that has run out."""
        deadline = self.clock() + 2 * self.lease.seconds
        while not self.lease.acquire(self.scope.version):
            if self.clock() > deadline or self.stopped.wait(self.lease.look_every):
                return False
        return True

    def _leading(self) -> Sender:
        """Make a sender that leads: work that was done before left no state document, but its number is still on the
        queue. Gives the lease back where that fails.
        """
        try:
            return leading_sender(self.lease, lambda epoch: self.make_sender(self.scope.route(epoch)))
        except QScoreError:
            with contextlib.suppress(QScoreError):  # it runs out by itself
                self.lease.release()
            raise

    def _through(self, work: _Work, pages: Iterator[RowPage]) -> None:
        """Send what has no score, page by page, and wait until all of it is confirmed."""
        for page in pages:
            if self.stopped.is_set():
                break
            rest = work.patiently(partial(lacking, page, self.scores, work.tally), self.stopped)
            if rest is None:
                break
            work.await_turn(rest.rows, self.stopped)
            work.shipment.load(rest, self.server_now())
            work.step(0.0, self.stopped)
        while not work.shipment.ledger.empty and not self.stopped.is_set():
            work.step(_LOOK, self.stopped)

    def _let_go(self, checkpoint: Millis | None) -> None:
        try:
            self.lease.release(checkpoint)
        except RETRYABLE as error:  # it runs out by itself; the error that ended the run is the one to tell
            get_log().warning("lease_not_released", reason=error.sentence())


@dataclass(frozen=True)
class _Turn:
    """Live rows and searches go first: nothing is added to a queue in which something waits."""

    shipment: Shipment
    busy: Callable[[], bool]
    live: LiveLag
    limit: int

    def reason_to_wait(self) -> str:
        """Return for what to wait; empty where a batch may go."""
        if self.shipment.ledger.rows_in_flight >= self.limit:
            return "for confirmations"
        if self.live.behind():
            return "for live scoring, which is behind"
        try:
            return "for the queue" if self.busy() else ""
        except Unavailable:
            return "for the queue"


@dataclass
class _Work:
    """A run under way, from ``start`` on."""

    shipment: Shipment
    lease: Lease
    turn: _Turn
    start: Millis
    show: Callable[[Progress], None]
    tally: Tally = field(default_factory=Tally)
    _renewed: float = field(init=False)

    def __post_init__(self) -> None:
        self._renewed = self.shipment.ticks()

    def progress(self, waiting: str = "") -> Progress:
        """Return how far it is, with what it waits for."""
        ledger = self.shipment.ledger
        totals = ledger.totals
        return Progress(ledger.checkpoint or self.start, self.tally, totals.written, totals.dead, waiting)

    def await_turn(self, rows: int, stopped: Event) -> None:
        """Wait until a batch of so many rows may go, or until ``stopped``."""
        while rows and not stopped.is_set() and (reason := self.turn.reason_to_wait()):
            self.step(_LOOK, stopped, reason)

    def patiently(self, look_up: Callable[[], RowPage], stopped: Event) -> RowPage | None:
        """Look up what the cluster may not be able to say yet (the shard of an index that was made a moment ago has
        still to start), again and again for ``PATIENCE`` seconds; None once ``stopped``. Raises what the last try did.
        """
        deadline = self.shipment.ticks() + PATIENCE
        while not stopped.is_set():
            try:
                return look_up()
            except RETRYABLE as error:
                if self.shipment.ticks() > deadline:
                    raise
                get_log().info("look_up_again", reason=error.sentence())
                stopped.wait(_LOOK)
                self.step(0.0, stopped, "for Elasticsearch")
        return None

    def step(self, seconds: float, stopped: Event, waiting: str = "") -> None:
        """Do what must go on all the time: outcomes, late batches, the lease."""
        try:
            self.shipment.take(seconds)
            self.shipment.send_due()
        except Unavailable as error:
            get_log().info("queue_not_there", reason=error.detail)
            stopped.wait(_LOOK)
        self._renew()
        self.show(self.progress(waiting))

    def _renew(self) -> None:
        now = self.shipment.ticks()
        if now - self._renewed >= self.lease.renew_every:
            self._renewed = now
            self.lease.renew(self.shipment.ledger.checkpoint)
