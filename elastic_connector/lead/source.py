"""One source: stands by, leads, stands by again; degraded or healthy apart from the others."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field

from elastic_connector.lead.batches import Sender, StreamRoute
from elastic_connector.lead.lease import Lease, LeaseLost, new_owner
from elastic_connector.lead.lease_keeper import LeaseKeeper
from elastic_connector.lead.ledger import Totals
from elastic_connector.lead.shared import Setting
from elastic_connector.lead.shipment import leading_sender
from elastic_connector.lead.status import STANDBY, STOPPED, Trouble
from elastic_connector.lead.term import ONCE_FAILURES, begin_term
from scorer.elastic_client.moments import Millis
from scorer.elastic_client.settings import ElasticSource
from scorer.logs import get_log
from scorer.wire.card import ModelCard
from scorer.wire.errors import QScoreError, Unavailable

#: Seconds of the first pause after a failure.
_FIRST_PAUSE = 1.0


@dataclass
class SourceRunner:
    """Runs one source until ``stop``; with ``once`` until everything that is there is scored."""

    source: ElasticSource
    setting: Setting
    stop: threading.Event
    failure: QScoreError | None = None
    totals: Totals = field(default_factory=Totals)
    _owner: str = field(default_factory=new_owner)
    _lease: Lease | None = None
    _trouble: Trouble = field(init=False)
    _watching_since: float | None = None  # monotonic seconds

    def __post_init__(self) -> None:
        gives_up_after = ONCE_FAILURES // 5 if self.setting.once else None
        self._trouble = Trouble(self.name, self.setting.board, _FIRST_PAUSE, gives_up_after)

    @property
    def name(self) -> str:
        return self.source.name

    def run(self) -> None:
        """Run in the source's thread. Never raises: what went wrong is on the board, with ``once`` in ``failure``."""
        done = False
        while not done and not self.stop.is_set():
            try:
                done = self._contend()
                self._trouble.over()
            except LeaseLost as error:
                self._lease = None
                get_log().warning("standing_by", source=self.name, reason=error.detail)
            except QScoreError as error:
                done = self._degraded(error)
            except Exception as error:  # a defect of one source must not end the others
                get_log().exception("source_failed", source=self.name)
                done = self._degraded(QScoreError(f"{type(error).__name__}: {error}", "See the log."))
        self._update(state=STOPPED)

    def _contend(self) -> bool:
        """Stand by, or lead until the lease is lost or the work is done; True when there is nothing left to do."""
        elastic = self.setting.elastic
        card = self.setting.cards(self.source.model, self.source.version)
        lease = self._lease = self._lease or Lease(
            self.setting.client,
            elastic.state_index,
            self.name,
            self.source.model,
            elastic.lease_seconds,
            elastic.poll_seconds,
            self._owner,
        )
        if not lease.acquire(card.version):
            return self._stand_by(lease, card)
        self._watching_since = None
        try:
            return self._lead(lease, card)
        finally:
            self._lease = None  # another term is another contender

    def _stand_by(self, lease: Lease, card: ModelCard) -> bool:
        """Wait for the next look; True where a single run has waited for longer than a dead leader's lease lasts."""
        # Lag and rows on their way are the leader's to tell: what this process knew of them is no longer so.
        self._update(
            state=STANDBY, version=card.version, reason="", owner="", epoch=0, checkpoint=None, position=None,
            lag_seconds=0.0, lag_documents=None, in_flight_rows=0, in_flight_bytes=0, closed_indices=(),
        )  # fmt: skip
        now = self.setting.ticks()
        self._watching_since = now if self._watching_since is None else self._watching_since
        if self.setting.once and now - self._watching_since > 2 * lease.seconds + lease.poll:
            self.failure = Unavailable(
                f"the source {self.name} is led by another connector",
                "It scores what arrives; stop it before a single run, or leave out --once to stand by.",
            )
            return True
        self.stop.wait(lease.look_every)
        return False

    def _lead(self, lease: Lease, card: ModelCard) -> bool:
        sender = leading_sender(lease, lambda epoch: self._sender(epoch, card))
        get_log().info("leading", source=self.name, model=self.source.model, epoch=lease.epoch, owner=lease.owner)
        takeovers = self.setting.board[self.name].takeovers + lease.taken_over
        self._update(owner=lease.owner, epoch=lease.epoch, takeovers=takeovers)
        began = self.setting.clock.millis()
        keeper = LeaseKeeper(lease, sender.announce)
        try:
            with keeper:
                return self._terms(keeper, card, sender.route, began)
        finally:
            if not keeper.lost:
                with contextlib.suppress(QScoreError):  # it runs out by itself
                    lease.release(keeper.checkpoint)

    def _sender(self, epoch: int, card: ModelCard) -> Sender:
        namespace = self.setting.elastic.namespace_of(self.source)
        return self.setting.queues.sender(card, StreamRoute(self.name, self.source.model, epoch, namespace))

    def _terms(self, keeper: LeaseKeeper, card: ModelCard, route: StreamRoute, began: Millis) -> bool:
        """Score with one version of the model after another; True when the work is done."""
        while keeper.held() and not self.stop.is_set():
            term = begin_term(
                self.source, self.setting, self.stop, self.totals, card,
                self.setting.queues.sender(card, route), keeper, began,
            )  # fmt: skip
            if term.run():
                return True
            card = self.setting.cards(self.source.model, self.source.version)
            # A version may come back: what arrived before this term began, this very leader may have sent for it.
            began = self.setting.clock.millis()
        return self.stop.is_set()

    def _degraded(self, error: QScoreError) -> bool:
        """Note what is wrong and wait a little; True where a single run should end with it."""
        try:
            pause = self._trouble.tell(error)
        except QScoreError:
            self.failure = error
            return True
        self.stop.wait(pause)
        return False

    def _update(self, **changes: object) -> None:
        self.setting.board.update(self.name, **changes)
