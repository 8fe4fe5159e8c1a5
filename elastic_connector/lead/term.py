"""A leader's term with one version of the model: pages in, batches out, acknowledgements back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from elastic_connector.lead.batches import Sender, in_place_of, new_batch
from elastic_connector.lead.lease import LeaseLost
from elastic_connector.lead.lease_keeper import LeaseKeeper
from elastic_connector.lead.ledger import Batch, Ledger, Totals
from elastic_connector.lead.shared import Setting
from elastic_connector.lead.status import DEGRADED, LEADING
from elastic_connector.read.closed_indices import ClosedWatch
from elastic_connector.read.events import EventReader
from elastic_connector.read.pages import OF_THE_MODEL, RowPage, RowReader
from elastic_connector.read.readers import ReaderPlan, build_reader
from scorer.elastic_client.failures import ElasticBusy
from scorer.elastic_client.settings import ElasticSource
from scorer.logs import get_log
from scorer.service.queue.exchange import Outcome
from scorer.wire.card import ModelCard
from scorer.wire.errors import QScoreError, QueueFull, Unavailable

#: Seconds in which batches on their way may be acknowledged after a stop was asked for.
GRACE = 10.0
LONGEST_PAUSE = 15.0
#: Failures in a row after which a single run gives up; a service never does.
ONCE_FAILURES = 20
#: Seconds between looks at the model's card; a look costs nothing, the gateway is asked beside it.
_CARD_EVERY = 5.0
_WAIT = 0.5
_COUNT_EVERY = 60.0
#: How far a single run reads ahead of the server's clock, which is known to the second, in seconds.
_ONCE_AHEAD = 2.0
#: Milliseconds by which the clock may lie behind the server's, and an earlier single run may have read ahead of it.
_MARGIN = 5_000


@dataclass
class Term:
    """One leader's work with one version of the model: pages in, batches out, acknowledgements back."""

    source: ElasticSource
    setting: Setting
    stop: threading.Event
    totals: Totals
    card: ModelCard
    sender: Sender
    keeper: LeaseKeeper
    began: int  # milliseconds by the server's clock; earlier leaders cannot have sent what arrived well after it
    ledger: Ledger = field(init=False)
    reader: RowReader = field(init=False)
    _closed: ClosedWatch = field(init=False)
    _pages: Iterator[RowPage] | None = None
    _position: int = 0
    _resumed: bool = False
    _next_round: float = 0.0
    _caught_up: bool = False
    _failures: int = 0
    _again_at: float = 0.0
    _card_at: float = field(default_factory=time.monotonic)
    _counted_at: float = float("-inf")

    def __post_init__(self) -> None:
        setting = self.setting
        self.ledger = Ledger(setting.elastic.late_seconds, self.totals)
        plan = ReaderPlan(setting.client, self.source, setting.elastic, self.card, setting.clock, self.began + _MARGIN)
        self.reader = build_reader(plan)
        self._closed = ClosedWatch(setting.client, self.source.name, self.source.index)
        checkpoint = self.keeper.checkpoint
        since = self.began if setting.since is None else setting.since
        self._position = since if checkpoint is None else checkpoint
        self._resumed = checkpoint is None
        if checkpoint is None and since:
            self.keeper.checkpoint = since  # so that a restart before the first document begins here too

    def run(self) -> bool:
        """Until the lease is lost, a stop, a new version (False), or with ``once`` the end (True)."""
        self._show(state=LEADING, version=self.card.version, reason="")
        try:
            while self.keeper.held():
                if self.stop.is_set():
                    self._drain(GRACE)
                    return True
                if self._version_changed():
                    self._drain(self.setting.elastic.late_seconds)
                    return False
                if self._caught_up and self.ledger.empty and self.setting.once:
                    self.keeper.flush()
                    return True
                self._step()
            raise LeaseLost(f"the lease of {self.source.name} ran out", "It is contended for again.")
        finally:
            self.reader.close()

    def _step(self) -> None:
        """One small piece of work; what fails is tried again after a pause, and costs nothing that was read."""
        self._take(self.sender.outcomes)
        now = time.monotonic()
        if now < self._again_at:
            self._wait(self._again_at - now)
            return
        try:
            self._send_due()
            if self._room():
                self._read_or_wait()
            else:
                self._wait(_WAIT)
        except QScoreError as error:
            if isinstance(error, LeaseLost):
                raise
            self._failed(error)
        else:
            if self._failures:
                self._failures = 0
                self._show(state=LEADING, reason="")

    def _room(self) -> bool:
        """Whether another page may be read: rows on their way are bounded, and nothing read waits to be sent."""
        limit = self.setting.elastic.in_flight_rows
        return self.ledger.rows_in_flight < limit and next(self.ledger.unsent(), None) is None

    def _read_or_wait(self) -> None:
        if self._pages is None:
            wait = self._next_round - time.monotonic()
            if wait > 0:
                self._wait(wait)
                return
            self._pages = self._begin_round()
        server_now = self.setting.clock.now()  # first: what fails after a page was taken would cost the page
        try:
            page = next(self._pages, None)
        except BaseException:
            self._pages = None  # a generator that raised is over; what it gave is in the ledger
            raise
        if page is None:
            self._end_round()
            return
        self._take_page(page, server_now)

    def _begin_round(self) -> Iterator[RowPage]:
        setting = self.setting
        settle = -_ONCE_AHEAD if setting.once else setting.elastic.settle_seconds
        self._next_round = time.monotonic() + setting.elastic.poll_seconds
        upper = setting.clock.millis() - int(1000 * settle)
        if not self._resumed:
            yield from self.reader.resume(self._position)
            self._resumed = True
        yield from self.reader.round(self._position, upper)

    def _end_round(self) -> None:
        self._pages = None
        self._caught_up = True
        self._show(lag_documents=self.ledger.rows_in_flight, closed_indices=self._closed.look())

    def _take_page(self, page: RowPage, server_now: float) -> None:
        batch = new_batch(page, server_now)
        self.ledger.add(batch)
        self.keeper.checkpoint = self.ledger.checkpoint or self.keeper.checkpoint  # a page without rows is done
        if page.position is not None:
            self._position = max(self._position, page.position)
        self._caught_up = False
        self._count_waiting()
        status = self.setting.board[self.source.name]
        self._show(
            documents=status.documents + page.documents,
            bytes=status.bytes + page.bytes,
            closed_indices=self._closed.look(),
        )
        if batch.rows:
            self._send(batch)

    def _count_waiting(self) -> None:
        """How far behind the reading is, in documents; asked once a minute."""
        now = time.monotonic()
        if isinstance(self.reader, EventReader) and now - self._counted_at >= _COUNT_EVERY:
            self._counted_at = now
            self._show(lag_documents=self.reader.waiting(self._position) + self.ledger.rows_in_flight)

    def _send_due(self) -> None:
        now = time.monotonic()
        due = list(self.ledger.due(now))
        if due and self.sender.busy():
            due = list(self.ledger.due(now, busy=True))
        for batch in due:
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        if not self.keeper.held():
            raise LeaseLost(f"the lease of {self.source.name} ran out", "It is contended for again.")
        self.sender.send(batch)
        retries = self.ledger.totals.retries
        self.ledger.sent(batch.batch_id, time.monotonic())
        if self.ledger.totals.retries > retries:
            get_log().info("batch_sent_again", source=self.source.name, batch_id=batch.batch_id, rows=batch.rows)

    def _wait(self, seconds: float) -> None:
        """Until something comes back, a stop is asked for, or so long."""
        if self.ledger.rows_in_flight:
            self._take(lambda: self._one(min(_WAIT, seconds)))
        else:
            self.stop.wait(min(_WAIT, seconds))

    def _one(self, seconds: float) -> list[Outcome]:
        found = self.sender.wait_outcome(seconds)
        return [] if found is None else [found]

    def _take(self, outcomes: Callable[[], list[Outcome]]) -> None:
        try:
            found = outcomes()
        except Unavailable as error:
            self._failed(error)
            self.stop.wait(_WAIT)
            return
        for outcome in found:
            if outcome.ack is not None:
                self.ledger.acknowledge(outcome.ack)
            else:
                self._refused(outcome)
        if found:
            self.keeper.checkpoint = self.ledger.checkpoint or self.keeper.checkpoint
            self._show()

    def _refused(self, outcome: Outcome) -> None:
        """No worker could score a batch: one that is itself the reason is cut in two, any other comes again."""
        batch, problem = self.ledger.batch(outcome.batch_id), outcome.problem
        if batch is None or problem is None:
            return
        error = problem.error()
        status = self.setting.board[self.source.name]
        self._show(problems=status.problems + 1)
        get_log().warning(
            "batch_refused",
            source=self.source.name,
            batch_id=batch.batch_id,
            code=problem.code,
            reason=error.sentence(),
        )
        if problem.code in OF_THE_MODEL:
            self._failed(error)
        elif parts := in_place_of(batch, problem):
            self.ledger.split(batch.batch_id, parts)

    def _failed(self, error: QScoreError) -> None:
        """Degraded, until the next step that succeeds."""
        self._failures += 1
        asked = error.retry_after if isinstance(error, ElasticBusy) else None
        pause = min(LONGEST_PAUSE, asked or 0.25 * 2.0 ** min(self._failures, 6))
        self._again_at = time.monotonic() + pause
        busy = self.setting.board[self.source.name].busy + isinstance(error, (ElasticBusy, QueueFull))
        if isinstance(error, QueueFull):
            self._show(busy=busy)
            return
        shown = self.setting.board[self.source.name]
        if (shown.state, shown.reason) != (DEGRADED, error.sentence()):
            get_log().error("source_degraded", source=self.source.name, reason=error.sentence())
        self._show(state=DEGRADED, reason=error.sentence(), busy=busy)
        once = self.setting.once
        if once and (not error.retryable or self._failures > ONCE_FAILURES):
            raise error

    def _version_changed(self) -> bool:
        """Whether an alias names another version by now, as far as is known; never waits for the gateway."""
        now = time.monotonic()
        if self.source.version.isdigit() or now - self._card_at < _CARD_EVERY:
            return False
        self._card_at = now
        try:
            card = self.setting.cards(self.source.model, self.source.version)
        except QScoreError:  # said in the log where the gateway is asked; this version goes on
            return False
        if card.version == self.card.version:
            return False
        get_log().info("version_changed", source=self.source.name, before=self.card.version, now=card.version)
        return True

    def _drain(self, seconds: float) -> None:
        """Wait for what is on its way; what is still not acknowledged then is read again by the next leader."""
        deadline = time.monotonic() + seconds
        while self.keeper.held() and not self.ledger.empty and time.monotonic() < deadline:
            self._take(lambda: self._one(_WAIT))
        left = self.ledger.rows_in_flight
        if left:
            get_log().warning("rows_left", source=self.source.name, rows=left, why="read again by the next leader")

    def _show(self, **changes: object) -> None:
        reopened = self.reader.reopened if isinstance(self.reader, EventReader) else 0
        self.setting.board.update(
            self.source.name,
            checkpoint=self.keeper.checkpoint,
            position=self._position or None,
            lag_seconds=self._lag(),
            in_flight_rows=self.ledger.rows_in_flight,
            in_flight_bytes=self.ledger.bytes_in_flight,
            reopened=reopened,
            totals=self.ledger.totals,
            **changes,
        )

    def _lag(self) -> float:
        """Age of the oldest document that is known to wait; 0 when all that is settled is scored.

        Not that of the checkpoint: a source in which nothing happened since yesterday is not a day behind.
        """
        if self._caught_up and self.ledger.empty:
            return 0.0
        behind = self.ledger.oldest_position() or self._position
        return max(0.0, (self.setting.clock.millis() - behind) / 1000.0) if behind else 0.0
