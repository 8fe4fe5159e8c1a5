"""What stands around a leader's work in tests: a lease that is held, a queue's end, a reader, clocks to be moved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa
from elasticsearch import Elasticsearch

from elastic_connector.lead.batches import Queues
from elastic_connector.lead.ledger import Batch, Totals
from elastic_connector.lead.shared import Setting
from elastic_connector.lead.status import SourceStatus, StatusBoard
from elastic_connector.lead.term import Term, begin_term
from elastic_connector.read.pages import RowPage
from scorer.elastic_client.moments import BEGINNING, GivenTime, Millis, millis
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import BatchOutcome
from scorer.wire.card import ModelCard
from scorer.wire.errors import Problem, QScoreError, Unavailable

MODEL = "lateral_flow"
NOW = Millis(1_772_352_900_000)
DAY = 86_400_000
YESTERDAY = Millis(NOW - DAY)
SOURCE = ElasticSource(name="flows", index="logs-a", model=MODEL)
CARD = ModelCard(MODEL, "7", "svc", "t", "rows", False, "quantum", "event", (), (), "m", 0.5, 0.01, {})


def page(rows: int, position: int | None, documents: int | None = None) -> RowPage:
    """A page of so many rows."""
    table = pa.table({"index": ["logs-a"] * rows, "origin_id": [f"d{k}" for k in range(rows)]})
    at = None if position is None else Millis(position)
    return RowPage(table, at, documents=rows if documents is None else documents)


@dataclass
class Hand:
    """A monotonic clock that a test moves, seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ServersClock:
    """The cluster's clock as a test sets it; ``away``: it cannot be asked."""

    seconds: float = NOW / 1000
    away: bool = False

    def now(self) -> float:
        if self.away:
            raise Unavailable("the server is away", "Wait.")
        return self.seconds

    def millis(self) -> Millis:
        return millis(self.seconds)


@dataclass
class Held:
    """A lease that is held as long as ``holds``."""

    checkpoint: Millis | None = YESTERDAY
    holds: bool = True
    flushed: int = 0

    def held(self) -> bool:
        return self.holds

    def flush(self) -> None:
        self.flushed += 1


@dataclass
class QueueEnd:
    """The end of the queue that a leader sees. ``faults`` are raised by `send`, one after the other; None: none."""

    sent: list[Batch] = field(default_factory=list)
    coming: list[BatchOutcome] = field(default_factory=list)
    faults: list[QScoreError | None] = field(default_factory=list)
    crowded: bool = False
    asked_whether_busy: int = 0
    gone: bool = False

    def busy(self) -> bool:
        self.asked_whether_busy += 1
        return self.crowded

    def send(self, batch: Batch) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.sent.append(batch)

    def outcomes(self) -> list[BatchOutcome]:
        if self.gone:
            raise Unavailable("the queue is away", "Wait.")
        found, self.coming = self.coming, []
        return found

    def wait_outcome(self, _seconds: float) -> BatchOutcome | None:
        return self.coming.pop(0) if self.coming else None

    def acknowledge(self, batch: Batch) -> None:
        """A worker's acknowledgement comes."""
        self.coming.append(BatchOutcome(batch.batch_id, ack=Acknowledgement(batch.batch_id, batch.rows, 0, 0)))

    def refuse(self, batch: Batch, error: QScoreError) -> None:
        """A worker could not score a batch."""
        self.coming.append(BatchOutcome(batch.batch_id, problem=Problem.of(error)))


@dataclass
class Reading:
    """A reader that hands out ``pages``, one list of them a round, and nothing twice."""

    rounds: list[list[RowPage]] = field(default_factory=list)
    asked: list[tuple[Millis, Millis]] = field(default_factory=list)
    resumed: list[Millis] = field(default_factory=list)
    counted: int | None = None
    after_page: Callable[[], None] = lambda: None
    closed: bool = False

    @property
    def reopened(self) -> int:
        return 0

    def resume(self, checkpoint: Millis) -> Iterator[RowPage]:
        self.resumed.append(checkpoint)
        return iter(())

    def round(self, since: Millis, upper: Millis) -> Iterator[RowPage]:
        self.asked.append((since, upper))
        pages = self.rounds[0] if self.rounds else []
        while pages:
            given = pages.pop(0)
            self.after_page()
            yield given
        del self.rounds[:1]

    def waiting(self, _position: Millis) -> int | None:
        return self.counted

    def close(self) -> None:
        self.closed = True


@dataclass
class Leader:
    """A term of one leader, and all that it works with."""

    client: Elasticsearch
    reading: Reading = field(default_factory=Reading)
    held: Held = field(default_factory=Held)
    queue: QueueEnd = field(default_factory=QueueEnd)
    clock: ServersClock = field(default_factory=ServersClock)
    ticks: Hand = field(default_factory=Hand)
    stop: threading.Event = field(default_factory=threading.Event)
    board: StatusBoard = field(default_factory=lambda: StatusBoard([SourceStatus("flows", MODEL, "default")]))

    def setting(self, since: GivenTime = BEGINNING, once: bool = False) -> Setting:
        """What sources share; nothing of it asks a queue for a sender."""
        queues = cast("Queues", None)
        return Setting(
            self.client, queues, lambda *_: CARD, ElasticSettings(), self.clock, self.board, since, once,
            lambda _plan: self.reading, self.ticks,
        )  # fmt: skip

    def term(self, since: GivenTime = BEGINNING, once: bool = False, source: ElasticSource = SOURCE) -> Term:
        """Begin one, by the server's clock at NOW."""
        setting = self.setting(since, once)
        return begin_term(source, setting, self.stop, Totals(), CARD, self.queue, self.held, NOW)

    @property
    def status(self) -> SourceStatus:
        return self.board["flows"]


def closed_nothing(_method: str, path: str, _body: bytes) -> Any:
    """A cluster without closed indices, which is all that a term itself asks of it."""
    from tests.unit.elastic_client.servers import Canned

    assert "/_settings/" in path, path
    return Canned(200, {})
