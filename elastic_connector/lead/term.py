"""A leader's term with one version of the model: pages in, batches out, acknowledgements back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from elastic_connector.lead.lease import LeaseLost
from elastic_connector.lead.lease_keeper import HeldLease
from elastic_connector.lead.ledger import Ledger, Totals
from elastic_connector.lead.rounds import Rounds
from elastic_connector.lead.shared import Cards, Setting
from elastic_connector.lead.shipment import BatchQueue, Shipment
from elastic_connector.lead.status import LEADING, Trouble
from elastic_connector.read.closed_indices import ClosedWatch
from elastic_connector.read.pages import RowPage
from elastic_connector.read.readers import ReaderPlan
from scorer.elastic_client.moments import Millis, between, later
from scorer.elastic_client.settings import ElasticSource
from scorer.logs import get_log
from scorer.wire.card import ModelCard
from scorer.wire.errors import QScoreError

#: Seconds in which batches on their way may be acknowledged after a stop was asked for.
GRACE = 10.0
#: Failures in a row after which a single run gives up; a service never does.
ONCE_FAILURES = 20
#: Seconds between looks at the model's card; a look costs nothing, the gateway is asked beside it.
_CARD_EVERY = 5.0
_WAIT = 0.5
_COUNT_EVERY = 60.0
#: Seconds of the first pause after a failure.
_FIRST_PAUSE = 0.5
#: How far a single run reads ahead of the server's clock, which is known to the second, in seconds.
_ONCE_AHEAD = 2.0
#: Seconds by which the clock may lie behind the server's, and an earlier single run may have read ahead of it.
_MARGIN = 5.0


@dataclass
class VersionWatch:
    """Whether an alias names another version than the one that scores. ``ticks``: monotonic seconds."""

    source: ElasticSource
    card: ModelCard
    cards: Cards
    ticks: Callable[[], float]
    _looked: float = float("-inf")

    def changed(self) -> bool:
        """Tell whether another version is in force, as far as is known by now; never waits for the gateway."""
        now = self.ticks()
        if self.source.version.isdigit() or now - self._looked < _CARD_EVERY:
            return False
        self._looked = now
        try:
            card = self.cards(self.source.model, self.source.version)
        except QScoreError:  # said in the log where the gateway is asked; this version goes on
            return False
        if card.version == self.card.version:
            return False
        get_log().info("version_changed", source=self.source.name, before=self.card.version, now=card.version)
        return True


@dataclass
class Term:
    """One leader's work with one version of the model; `begin_term` makes it."""

    source: ElasticSource
    setting: Setting
    stop: threading.Event
    card: ModelCard
    keeper: HeldLease
    shipment: Shipment
    rounds: Rounds
    versions: VersionWatch
    closed: ClosedWatch
    trouble: Trouble
    _again_at: float = float("-inf")
    _counted_at: float = float("-inf")

    def run(self) -> bool:
        """Score until a new version (False), a stop, or with ``once`` the end (True). Raises LeaseLost."""
        self._show(state=LEADING, version=self.card.version, reason="")
        try:
            while self.keeper.held():
                if self.stop.is_set():
                    self._drain(GRACE)
                    return True
                if self.versions.changed():
                    self._drain(self.setting.elastic.late_seconds)
                    return False
                if self.setting.once and self._nothing_left():
                    self.keeper.flush()
                    return True
                self.step()
            raise _lost(self.source)
        finally:
            self.rounds.reader.close()

    def step(self) -> None:
        """Do one small piece of work; what fails is tried again after a pause, and costs nothing that was read.

        Raises LeaseLost, and with ``once`` the error that ends a single run.
        """
        self._take()
        if (pause := self._again_at - self._now()) > 0:
            self._wait(pause)
            return
        try:
            self.shipment.send_due()
            if self.shipment.room(self.setting.elastic.in_flight_rows):
                self._read_or_wait()
            else:
                self._wait(_WAIT)
        except LeaseLost:
            raise
        except QScoreError as error:
            self._failed(error)
        else:
            if self.trouble.over():
                self._show(state=LEADING, reason="")

    def _now(self) -> float:
        return self.setting.ticks()

    def _nothing_left(self) -> bool:
        return self.rounds.caught_up and self.shipment.ledger.empty

    def _read_or_wait(self) -> None:
        if (wait := self.rounds.wait()) > 0:
            self._wait(wait)
            return
        server_now = self.setting.clock.now()  # first: what fails after a page was taken would cost the page
        page = self.rounds.next_page()
        if page is None:
            self._show(lag_documents=self.shipment.ledger.rows_in_flight, closed_indices=self.closed.look())
            return
        self.shipment.load(page, server_now)
        self._keep_checkpoint()  # a page without rows is done
        self._show_page(page)
        self.shipment.send_due()

    def _show_page(self, page: RowPage) -> None:
        status = self.setting.board[self.source.name]
        self._show(
            documents=status.documents + page.documents,
            bytes=status.bytes + page.bytes,
            closed_indices=self.closed.look(),
        )
        if self._now() - self._counted_at >= _COUNT_EVERY:
            self._counted_at = self._now()
            waiting = self.rounds.reader.waiting(self.rounds.position)
            if waiting is not None:
                self._show(lag_documents=waiting + self.shipment.ledger.rows_in_flight)

    def _wait(self, seconds: float) -> None:
        """Wait until something comes back, a stop is asked for, or so long."""
        if self.shipment.ledger.rows_in_flight:
            self._take(min(_WAIT, seconds))
        else:
            self.stop.wait(min(_WAIT, seconds))

    def _take(self, seconds: float = 0.0) -> None:
        try:
            found = self.shipment.take(seconds)
        except QScoreError as error:
            self._keep_checkpoint()
            self._failed(error)
            self.stop.wait(_WAIT)
            return
        if found:
            self._keep_checkpoint()
            self._show()

    def _keep_checkpoint(self) -> None:
        self.keeper.checkpoint = self.shipment.ledger.checkpoint or self.keeper.checkpoint

    def _failed(self, error: QScoreError) -> None:
        """Show the source as degraded, until the next step that succeeds."""
        self._again_at = self._now() + self.trouble.tell(error)
        self._show()

    def _drain(self, seconds: float) -> None:
        """Wait for what is on its way; what is still not acknowledged then is read again by the next leader."""
        deadline = self._now() + seconds
        while self.keeper.held() and not self.shipment.ledger.empty and self._now() < deadline:
            self._take(_WAIT)
        left = self.shipment.ledger.rows_in_flight
        if left:
            get_log().warning("rows_left", source=self.source.name, rows=left, why="read again by the next leader")

    def _show(self, **changes: object) -> None:
        ledger = self.shipment.ledger
        self.setting.board.update(
            self.source.name,
            checkpoint=self.keeper.checkpoint,
            position=self.rounds.position or None,
            lag_seconds=self._lag(),
            in_flight_rows=ledger.rows_in_flight,
            in_flight_bytes=ledger.bytes_in_flight,
            reopened=self.rounds.reader.reopened,
            totals=ledger.totals,
            **changes,
        )

    def _lag(self) -> float:
        """Return the age (seconds) of the oldest document that is known to wait; 0 when all that is settled is scored.

        Not that of the checkpoint: a source in which nothing happened since yesterday is not a day behind.
        """
        if self._nothing_left():
            return 0.0
        behind = self.shipment.ledger.oldest_position() or self.rounds.position
        return max(0.0, between(behind, self.setting.clock.millis())) if behind else 0.0


def begin_term(
    source: ElasticSource,
    setting: Setting,
    stop: threading.Event,
    totals: Totals,
    card: ModelCard,
    queue: BatchQueue,
    keeper: HeldLease,
    began: Millis,
) -> Term:
    """Make a term that goes on from the lease's checkpoint, or begins the source where the setting says.

    ``began``: by the server's clock; an earlier leader cannot have sent what arrived well after it. Raises what the
    reader's making raises.
    """
    elastic, clock = setting.elastic, setting.clock

    def must_hold() -> None:
        if not keeper.held():
            raise _lost(source)

    plan = ReaderPlan(setting.client, source, elastic, card, clock, later(began, _MARGIN))
    settle = -_ONCE_AHEAD if setting.once else elastic.settle_seconds
    resumes = keeper.checkpoint is not None
    position = setting.since.by(began) if keeper.checkpoint is None else keeper.checkpoint
    rounds = Rounds(
        setting.make_reader(plan), position, lambda: later(clock.millis(), -settle), resumes, elastic.poll_seconds,
        setting.ticks,
    )  # fmt: skip
    if position and not resumes:
        keeper.checkpoint = position  # so that a restart before the first document begins here too
    return Term(
        source, setting, stop, card, keeper,
        Shipment(source.name, queue, Ledger(elastic.late_seconds, totals), must_hold, setting.ticks),
        rounds,
        VersionWatch(source, card, setting.cards, setting.ticks),
        ClosedWatch(setting.client, source.name, source.index, setting.ticks),
        Trouble(source.name, setting.board, _FIRST_PAUSE, ONCE_FAILURES if setting.once else None),
    )  # fmt: skip


def _lost(source: ElasticSource) -> LeaseLost:
    return LeaseLost(f"the lease of {source.name} ran out", "It is contended for again.")
